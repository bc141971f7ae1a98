//! A relay between the host under test and a real tool: every frame that either end sends is recorded and forwarded,
//! with the path and the log lines that it caused.
//!
//! The tool finds the host as over a cable: ARP and NDP go through the relay like all frames. The lab takes its turn at
//! the kernel log for a slice of frames, and each slice ends with a fence, so that all effects of the slice have been
//! read when the turn ends. Frames, packets of the trace and log lines are matched by their content, see
//! [`super::relay_ties`].
//!
//! Packets that the host sends on a timer (a retransmission, or a repeated neighbour solicitation) are recorded as
//! well, with their paths; only their log lines between two turns cannot be distinguished from those of other labs, and
//! are ignored.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::relay_ties::{self, TiedLine};
use super::running_tool::{RunningTool, Stop, ToolCommand};
use super::tool_side::{self, ToolEnd, ToolSetup};
use crate::error::{CannotMeasure, Context, Result};
use crate::lab::Lab;
use crate::lab::host::interface::{FRAME_MAX, Interface};
use crate::lab::host::link::ProberLink;
use crate::lab::host::namespace::in_fresh_namespace;
use crate::lab::host::netcfg;
use crate::lab::host::services::ListeningSockets;
use crate::lab::log::log_source::{LogSource, LogTurn};
use crate::lab::trace::paths::{Paths, Reading};
use crate::log_line::LogLine;
use crate::probe::packet_summary::PacketSummary;
use crate::probe::tool_run::{RelayedFrame, ToolRun, ToolStatus};
use crate::wire::frame::Direction;
use crate::wire::tcp_flags::TcpFlags;

/// Frames of the tool in one turn; then another lab may have its turn.
const SLICE: usize = 64;

/// Milliseconds without an event after which the relay checks if it is to stop.
const LOOK: u16 = 50;

impl Lab<'_> {
    /// Runs the tool against the host, and returns all frames of both, once the tool has ended.
    pub fn relay(&mut self, command: &ToolCommand) -> Result<ToolRun> {
        self.forget_the_prober()?;
        let setup = ToolSetup { command, link: self.spec.link_setup(&self.families) };
        let (ready, made) = sync_channel(1);
        let (hold, done) = sync_channel::<()>(0);
        let (link, log, services, paths) = (&mut self.link, &mut self.log, &self.services, self.paths.as_mut());
        thread::scope(|scope| {
            let run_tool_side = || in_fresh_namespace(|isolated| tool_side::run(isolated, setup, ready, done));
            let tool_side =
                thread::Builder::new().spawn_scoped(scope, run_tool_side).context("start the tool's thread")?;
            let relayed = Relay::between(link, log, services, paths, command, made, hold);
            let tool_ended = tool_side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // If there is no tool, the error of its own end gives the reason.
            match (relayed, tool_ended) {
                (None, tool_ended) => {
                    Err(tool_ended.err().unwrap_or_else(|| CannotMeasure::Interrupted("its tool").into()))
                }
                (Some(Err(error)), _) | (Some(Ok(_)), Err(error)) => Err(error),
                (Some(relayed), Ok(())) => relayed,
            }
        })
    }

    /// Removes the permanent neighbours, which are for the lab's own probes; a tool answers discovery itself.
    fn forget_the_prober(&mut self) -> Result<()> {
        netcfg::forget_neighbours(self.isolated, &self.runtime, self.link_setup())
    }
}

/// A running relay.
struct Relay<'a> {
    host: &'a mut ProberLink,
    tool: &'a Interface,
    services: &'a ListeningSockets,
    paths: Option<&'a mut Paths>,
    record: RelayRecord,
    connections: Vec<TcpStream>,
    buffer: Vec<u8>,
}

/// The frames and lines so far.
#[derive(Default)]
struct RelayRecord {
    frames: Vec<RelayedFrame>,
    lines: Vec<TiedLine>,
    reading: Reading,
}

impl<'a> Relay<'a> {
    /// Relays until the tool has ended and both ends are silent. `None` if no tool was started.
    fn between(
        host: &'a mut ProberLink,
        log: &'a mut LogSource,
        services: &'a ListeningSockets,
        mut paths: Option<&'a mut Paths>,
        command: &ToolCommand,
        made: Receiver<ToolEnd>,
        // Dropped at the end, for which the tool's side waits.
        _hold: SyncSender<()>,
    ) -> Option<Result<ToolRun>> {
        let ToolEnd { tap, mut tool } = made.recv().ok()?;
        let mut relay = Relay {
            host,
            tool: &tap,
            services,
            paths: paths.as_deref_mut(),
            record: RelayRecord::default(),
            connections: Vec::new(),
            buffer: vec![0; FRAME_MAX],
        };
        let ended = relay.run(log, &mut tool, command);
        tool.kill();
        let (record, connections) = (relay.record, relay.connections);
        let hung_up = reset_connections(connections, host);
        let ended = hung_up.and(ended);
        Some(ended.and_then(|(status, elapsed)| {
            let traced = paths.map(|paths| paths.close(record.reading)).transpose()?;
            let (frames, held_back) = relay_ties::tie(record.frames, traced, record.lines)?;
            Ok(ToolRun { frames, held_back, status, elapsed })
        }))
    }

    fn run(
        &mut self,
        log: &mut LogSource,
        tool: &mut RunningTool,
        command: &ToolCommand,
    ) -> Result<(ToolStatus, Duration)> {
        self.discard_pending()?;
        let mut ended = None;
        loop {
            let moved = self.pass_on(log)?;
            match ended {
                Some(ended) if !moved => return Ok(ended),
                Some(_) => continue,
                None => {}
            }
            if !moved {
                self.wait(tool, command.timeout)?;
            }
            ended = has_ended(tool, command)?;
            assert_wanted(&command.stop)?;
        }
    }

    /// Discards the frames that the host sent before the tool was started.
    fn discard_pending(&mut self) -> Result<()> {
        while self.host.receive_frame()?.is_some() {}
        match &mut self.paths {
            Some(paths) => paths.discard().map(drop),
            None => Ok(()),
        }
    }

    /// Forwards the waiting frames, at most a slice. False if there were none.
    fn pass_on(&mut self, log: &mut LogSource) -> Result<bool> {
        let answered = self.pass_to_tool(None)?;
        let Some(length) = self.tool.receive(&mut self.buffer)? else {
            if answered {
                self.read_trace()?;
            }
            return Ok(answered);
        };
        let mut turn = log.lock()?;
        let slice = self.record.frames.len();
        self.pass_to_host(length, &mut turn)?;
        for _ in 1..SLICE {
            let Some(length) = self.tool.receive(&mut self.buffer)? else { break };
            self.pass_to_host(length, &mut turn)?;
        }
        self.fence(slice, &mut turn)?;
        Ok(true)
    }

    /// Forwards one frame of the tool, and all that it causes at once.
    fn pass_to_host(&mut self, length: usize, turn: &mut LogTurn) -> Result<()> {
        let place = self.record.frames.len();
        let frame = &self.buffer[..length];
        let flags = PacketSummary::at(frame).tcp_flags();
        let is_segment = flags.is_some_and(|flags| flags & TcpFlags::ACK != 0);
        self.record.add(Direction::In, frame, None);
        self.host.send(frame)?;
        self.pass_to_tool(Some(place))?;
        // A connection can only exist, or have data, after a segment with an acknowledgment.
        if is_segment {
            self.serve()?;
            self.pass_to_tool(Some(place))?;
        }
        // A packet without TCP flags may be a datagram, or its last fragment.
        if flags.is_none() {
            self.services.answer()?;
            self.pass_to_tool(Some(place))?;
        }
        self.read(place, turn)
    }

    /// Forwards the frames of the host; `cause` is the frame to which it reacts.
    fn pass_to_tool(&mut self, cause: Option<usize>) -> Result<bool> {
        let mut moved = false;
        while let Some(frame) = self.host.receive_frame()? {
            self.record.add(Direction::Out, frame, cause);
            self.tool.send_if_up(frame)?;
            moved = true;
        }
        Ok(moved)
    }

    /// Sends the greetings of services, and closes connections on which the client sent data or which it closed.
    fn serve(&mut self) -> Result<()> {
        self.connections.extend(self.services.serve_all()?);
        self.connections.retain_mut(|connection| {
            // Accepted sockets do not inherit the listener's mode (accept(2)).
            let silent = connection.set_nonblocking(true).and_then(|()| connection.read(&mut [0; 4096]));
            matches!(silent, Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
        Ok(())
    }

    fn fence(&mut self, slice: usize, turn: &mut LogTurn) -> Result<()> {
        let (record, tool) = (&mut self.record, self.tool);
        self.host.fence_frames(|frame| {
            record.add(Direction::Out, frame, None);
            tool.send_if_up(frame)
        })?;
        self.read(slice, turn)
    }

    /// Reads the effects of the frames from index `first`.
    fn read(&mut self, first: usize, turn: &mut LogTurn) -> Result<()> {
        let RelayRecord { frames, lines, .. } = &mut self.record;
        let during = first..frames.len();
        turn.drain(|text| {
            let line = LogLine::parse(&text);
            lines.extend(line.map(|line| TiedLine { line, text, during: during.clone() }));
        })?;
        self.read_trace()
    }

    fn read_trace(&mut self) -> Result<()> {
        match &mut self.paths {
            Some(paths) => {
                let RelayRecord { frames, lines, reading } = &mut self.record;
                paths.read_on(reading)?;
                let line =
                    |text: String| Some(TiedLine { line: LogLine::parse(&text)?, text, during: 0..frames.len() });
                lines.extend(paths.take_lines().into_iter().filter_map(line));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Waits for a frame or the end of the tool, for a short time.
    fn wait(&self, tool: &RunningTool, timeout: Option<Duration>) -> Result<()> {
        let left = timeout.map_or(u128::MAX, |timeout| timeout.saturating_sub(tool.elapsed()).as_millis() + 1);
        let timeout = PollTimeout::from(u16::try_from(left).unwrap_or(LOOK).min(LOOK));
        let ends = [self.tool.as_fd(), self.host.as_fd(), tool.as_fd()];
        match poll(&mut ends.map(|end| PollFd::new(end, PollFlags::POLLIN)), timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("wait for the tool and the host"),
        }
    }
}

impl RelayRecord {
    fn add(&mut self, direction: Direction, bytes: &[u8], cause: Option<usize>) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (bytes, path, verdict, log) = (bytes.to_vec(), None, None, Vec::new());
        self.frames.push(RelayedFrame { at, direction, bytes, cause, path, verdict, log });
    }
}

/// The status and the running time of a tool that has ended; it is killed when its time is up.
fn has_ended(tool: &mut RunningTool, command: &ToolCommand) -> Result<Option<(ToolStatus, Duration)>> {
    let elapsed = tool.elapsed();
    let ready = poll(&mut [PollFd::new(tool.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO);
    if ready.context("look whether the tool has ended")? > 0 {
        let status = tool.status()?;
        // Kills the processes that the tool has left.
        tool.kill();
        return Ok(Some((status, elapsed)));
    }
    match command.timeout {
        Some(timeout) if elapsed >= timeout => {
            tool.kill();
            Ok(Some((ToolStatus::TimedOut(timeout), elapsed)))
        }
        _ => Ok(None),
    }
}

fn assert_wanted(stop: &Stop) -> Result<()> {
    if stop.is_requested() { Err(CannotMeasure::Interrupted("a signal").into()) } else { Ok(()) }
}

/// Resets the open connections, so that no timer of the host sends to a tool that has ended.
fn reset_connections(connections: Vec<TcpStream>, host: &mut ProberLink) -> Result<()> {
    for connection in connections {
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        // A connection that has ended already needs no reset.
        let _ = setsockopt(&connection, sockopt::Linger, &at_once);
    }
    while host.receive_frame()?.is_some() {}
    Ok(())
}
