//! The link as the prober sees it: it sends frames, receives replies, and sends *fences*. A fence is a packet whose
//! answer no iptables rule can hold back. When it is answered, the host has processed everything sent before it. On a
//! TAP it is an ARP probe; on a TUN, which has no ARP, a packet that the lab's own table logs (see `fence`).
//!
//! On Linux the answer is there before `write()` returns, so a fence costs two system calls and does not wait. No
//! manual promises that (RPS, threaded NAPI and PREEMPT_RT can defer it), so the lab waits *for the fence*, with a
//! deadline that gives an error, never a verdict.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::fence;
use super::frame_recorder::FrameRecorder;
use super::interface::{FRAME_MAX, Interface};
use crate::error::{CannotMeasure, Error, Result};
use crate::lab::LinkMode;
use crate::lab::fault::{FaultInjector, LinkState};
use crate::lab::log::nflog::Nflog;
use crate::net::Mac;
use crate::probe::Ends;
use crate::wire::discovery;
use crate::wire::frame::Direction;
use crate::wire::reply::{Body, Neighbour, Reply};

/// The time limit of a fence, on a machine that is busy with other work.
const PATIENCE: Duration = Duration::from_secs(10);

/// The prober's end of the link.
pub struct ProberLink {
    interface: Interface,
    fence_kind: FenceKind,
    /// Ethernet addresses of both ends; unused on a TUN.
    pub ends: Ends,
    host: Ipv4Addr,
    buffer: Vec<u8>,
    fences: u32,
    injector: Option<FaultInjector>,
    /// The recording of the link, if it is started.
    pub recorder: FrameRecorder,
}

/// The kind of answer to a fence.
pub enum FenceKind {
    /// By ARP, on a TAP.
    Arp,
    /// By the lab's own table, which logs them to this socket; on a TUN.
    Log(Nflog),
}

impl FenceKind {
    fn mode(&self) -> LinkMode {
        match self {
            FenceKind::Arp => LinkMode::Tap,
            FenceKind::Log(_) => LinkMode::Tun,
        }
    }
}

impl ProberLink {
    /// Uses the prober's end of `interface`; `host` is the IPv4 address to which fences are sent.
    pub fn new(interface: Interface, fence_kind: FenceKind, ends: Ends, host: Ipv4Addr) -> ProberLink {
        ProberLink {
            interface,
            fence_kind,
            ends,
            host,
            buffer: vec![0; FRAME_MAX],
            fences: 0,
            injector: None,
            recorder: FrameRecorder::default(),
        }
    }

    /// Plants a fault on the link from now on.
    pub fn sabotage(&mut self, injector: FaultInjector) {
        self.injector = Some(injector);
    }

    /// Sends an Ethernet frame; on a TUN, the packet in it.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        if let Some(injector) = &self.injector {
            let moment = LinkState { ends: &self.ends, host: self.host, other_fences: self.other_fences() };
            injector.before(frame, &moment, |frame| self.put(frame), |packet| self.interface.send(packet))?;
        }
        self.put(frame)
    }

    fn put(&self, frame: &[u8]) -> Result<()> {
        let carried = self.fence_kind.mode().carried(frame);
        self.recorder.record(Direction::In, carried);
        self.interface.send(carried)
    }

    /// Sends a frame as the interface carries it: on a TUN, a packet.
    pub fn forward(&self, frame: &[u8]) -> Result<()> {
        self.recorder.record(Direction::In, frame);
        self.interface.send(frame)
    }

    /// Reads the next frame of any kind; `None` if there is none.
    pub fn receive_frame(&mut self) -> Result<Option<&[u8]>> {
        let length = self.interface.receive(&mut self.buffer)?;
        Ok(length.map(|length| &self.buffer[..length]))
    }

    /// Sends a fence and hands every frame that comes before its answer to `each`.
    pub fn fence_frames(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.fences = self.fences.wrapping_add(1);
        let deadline = Instant::now() + PATIENCE;
        if let FenceKind::Log(_) = self.fence_kind {
            self.log_fence(deadline)?;
            while let Some(frame) = self.receive_frame()? {
                each(frame)?;
            }
            return Ok(());
        }
        let mark = mark(self.fences);
        self.send(&discovery::arp_probe(mark, self.host))?;
        loop {
            let Some(frame) = self.receive_frame()? else {
                if self.interface.wait(deadline)? {
                    continue;
                }
                return Err(too_late("the answer to an ARP fence"));
            };
            if Reply::from_ethernet(frame).is_some_and(|reply| is_answer(&reply, mark)) {
                return Ok(());
            }
            each(frame)?;
        }
    }

    /// Reads the next reply; frames that are no IP, ARP reply or NDP are skipped.
    pub fn receive(&mut self) -> Result<Option<Reply>> {
        while let Some(length) = self.interface.receive(&mut self.buffer)? {
            let frame = &self.buffer[..length];
            self.recorder.record(Direction::Out, frame);
            if let Some(injector) = &self.injector {
                injector.notice(frame);
            }
            let reply = match self.fence_kind {
                FenceKind::Arp => Reply::from_ethernet(frame),
                FenceKind::Log(_) => Reply::from_ip(frame),
            };
            if reply.is_some() {
                return Ok(reply);
            }
        }
        Ok(None)
    }

    /// Sends a fence and hands every reply that comes before its answer to `each`.
    pub fn fence(&mut self, each: impl FnMut(&ProberLink, Reply) -> Result<()>) -> Result<()> {
        self.fences = self.fences.wrapping_add(1);
        let deadline = Instant::now() + PATIENCE;
        match self.fence_kind {
            FenceKind::Arp => self.arp_fence(deadline, each),
            FenceKind::Log(_) => self.logged_fence(deadline, each),
        }
    }

    fn arp_fence(&mut self, deadline: Instant, mut each: impl FnMut(&ProberLink, Reply) -> Result<()>) -> Result<()> {
        let mark = mark(self.fences);
        self.send(&discovery::arp_probe(mark, self.host))?;
        self.recorder.mark_fence();
        loop {
            match self.receive()? {
                Some(reply) if is_answer(&reply, mark) => {
                    self.recorder.mark_fence();
                    return Ok(());
                }
                Some(reply) => each(self, reply)?,
                None if self.interface.wait(deadline)? => {}
                None => return Err(too_late("the answer to an ARP fence")),
            }
        }
    }

    fn logged_fence(
        &mut self,
        deadline: Instant,
        mut each: impl FnMut(&ProberLink, Reply) -> Result<()>,
    ) -> Result<()> {
        self.log_fence(deadline)?;
        while let Some(reply) = self.receive()? {
            each(self, reply)?;
        }
        Ok(())
    }

    /// Sends a fence and waits until it is logged: then all answers to earlier packets are in the interface's queue.
    fn log_fence(&mut self, deadline: Instant) -> Result<()> {
        let packet = fence::packet(self.host, self.fences);
        self.recorder.record(Direction::In, &packet);
        self.recorder.mark_fence();
        self.interface.send(&packet)?;
        while !self.is_logged(&packet)? {
            if !self.wait_for_log(deadline)? {
                return Err(too_late("the log of a fence"));
            }
        }
        Ok(())
    }

    fn is_logged(&mut self, fence: &[u8]) -> Result<bool> {
        let FenceKind::Log(log) = &mut self.fence_kind else { return Ok(false) };
        let mut is_logged = false;
        log.drain(|logged| {
            self.injector.iter().for_each(|injector| injector.notice(logged.packet));
            is_logged |= logged.packet == fence;
            Ok(())
        })?;
        Ok(is_logged)
    }

    fn wait_for_log(&self, deadline: Instant) -> Result<bool> {
        match &self.fence_kind {
            FenceKind::Log(log) => log.wait(deadline),
            FenceKind::Arp => Ok(false),
        }
    }

    /// Sends the frames, and reads the replies. Returns the number of replies.
    pub fn bare_loop(&mut self, frames: &[Vec<u8>]) -> Result<usize> {
        let mut replies = 0;
        for frame in frames {
            self.put(frame)?;
        }
        while self.interface.receive(&mut self.buffer)?.is_some() {
            replies += 1;
        }
        if let FenceKind::Log(log) = &mut self.fence_kind {
            log.discard()?;
        }
        Ok(replies)
    }

    /// Checks that no reply was lost.
    ///
    /// # Errors
    ///
    /// If a reply did not fit into the interface's queue.
    pub fn assert_no_overrun(&self) -> Result<()> {
        match self.interface.overruns()? {
            0 => Ok(()),
            lost => {
                let evidence = format!("{lost} frames did not fit into the interface's queue");
                Err(CannotMeasure::Loss { instrument: "link", evidence }.into())
            }
        }
    }

    /// The answers to the fence before the last one, and to one that is not sent yet.
    fn other_fences(&self) -> [Vec<u8>; 2] {
        [self.fences, self.fences.wrapping_add(2)].map(|number| match self.fence_kind {
            FenceKind::Arp => discovery::arp_reply(self.ends.host, self.host, mark(number)),
            FenceKind::Log(_) => fence::packet(self.host, number).to_vec(),
        })
    }
}

impl AsFd for ProberLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.interface.as_fd()
    }
}

/// A locally administered sender address that no other fence has, so that the answer can be matched to this one.
fn mark(fence: u32) -> Mac {
    let [a, b, c, d] = fence.to_be_bytes();
    Mac([0x02, 0xfe, a, b, c, d])
}

fn is_answer(reply: &Reply, mark: Mac) -> bool {
    matches!(reply.body, Body::Neighbour(Neighbour { asker: Some(asker), .. }) if asker == mark)
}

fn too_late(what: &str) -> Error {
    CannotMeasure::Deadline { what: what.to_owned(), seconds: PATIENCE.as_secs() }.into()
}
