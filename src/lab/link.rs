//! The link as the prober sees it: frames out, replies in, and a *fence*: an ARP probe whose answer no iptables rule can
//! hold back. When the fence is answered, everything sent before it has been dealt with.
//!
//! On Linux the answer is there before `write()` returns, so a fence costs two system calls and waits for nothing. That
//! is not promised by any manual (RPS, threaded NAPI and PREEMPT_RT can defer it), so the lab waits *for the fence*, with
//! a deadline that is an error, never a verdict.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::fault::{Moment, Saboteur};
use super::tap::{FRAME_MAX, Tap};
use crate::discovery;
use crate::error::{CannotMeasure, Error, Result};
use crate::net::Mac;
use crate::probe::Ends;
use crate::reply::{Body, Neighbour, Reply};

/// How long a fence may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(10);

/// The prober's end of the link.
pub struct Link {
    tap: Tap,
    /// Ethernet addresses of both ends.
    pub ends: Ends,
    host: Ipv4Addr,
    buffer: Vec<u8>,
    fences: u32,
    saboteur: Option<Saboteur>,
}

impl Link {
    /// Takes the prober's end of `tap`; `host` is the IPv4 address that answers the fences.
    pub fn new(tap: Tap, ends: Ends, host: Ipv4Addr) -> Link {
        Link { tap, ends, host, buffer: vec![0; FRAME_MAX], fences: 0, saboteur: None }
    }

    /// From now on, somebody plants a fault on the link.
    pub fn sabotage(&mut self, saboteur: Saboteur) {
        self.saboteur = Some(saboteur);
    }

    /// Puts a frame on the link.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        if let Some(saboteur) = &self.saboteur {
            let other_fences = [mark(self.fences), mark(self.fences.wrapping_add(2))];
            let moment = Moment { ends: &self.ends, host: self.host, other_fences };
            saboteur.before(frame, &moment, |frame| self.tap.send(frame))?;
        }
        self.tap.send(frame)
    }

    /// Takes the next frame that is there, whatever it is.
    pub fn receive_frame(&mut self) -> Result<Option<&[u8]>> {
        let length = self.tap.receive(&mut self.buffer)?;
        Ok(length.map(|length| &self.buffer[..length]))
    }

    /// Sends a fence and hands every frame that comes before its answer to `each`.
    pub fn fence_frames(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mark = self.next_mark();
        self.send(&discovery::arp_probe(mark, self.host))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Some(frame) = self.receive_frame()? else {
                if self.tap.wait(deadline)? {
                    continue;
                }
                return Err(no_answer());
            };
            if Reply::from_ethernet(frame).is_some_and(|reply| is_answer(&reply, mark)) {
                return Ok(());
            }
            each(frame)?;
        }
    }

    /// Takes the next reply that is there; frames that are no IP, ARP reply or NDP are passed over.
    pub fn receive(&mut self) -> Result<Option<Reply>> {
        while let Some(length) = self.tap.receive(&mut self.buffer)? {
            if let Some(saboteur) = &self.saboteur {
                saboteur.notice(&self.buffer[..length]);
            }
            if let Some(reply) = Reply::from_ethernet(&self.buffer[..length]) {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Sends a fence and hands every reply that comes before its answer to `each`.
    pub fn fence(&mut self, mut each: impl FnMut(&Link, Reply) -> Result<()>) -> Result<()> {
        let mark = self.next_mark();
        self.send(&discovery::arp_probe(mark, self.host))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive()? {
                Some(reply) if is_answer(&reply, mark) => return Ok(()),
                Some(reply) => each(self, reply)?,
                None if self.tap.wait(deadline)? => {}
                None => return Err(no_answer()),
            }
        }
    }

    /// Sends the frames, and reads what comes back. Tells how many replies there were.
    pub fn bare_loop(&mut self, frames: &[Vec<u8>]) -> Result<usize> {
        let mut replies = 0;
        for frame in frames {
            self.tap.send(frame)?;
        }
        while self.tap.receive(&mut self.buffer)?.is_some() {
            replies += 1;
        }
        Ok(replies)
    }

    /// Fails when the interface's queue had no room for a reply.
    pub fn assert_no_overrun(&self) -> Result<()> {
        match self.tap.overruns()? {
            0 => Ok(()),
            lost => {
                let evidence = format!("{lost} frames did not fit into the interface's queue");
                Err(CannotMeasure::Loss { instrument: "link", evidence }.into())
            }
        }
    }

    /// A locally administered sender address that no fence before it had: the answer must come to this one.
    fn next_mark(&mut self) -> Mac {
        self.fences += 1;
        mark(self.fences)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tap.as_fd()
    }
}

fn no_answer() -> Error {
    let what = "the answer to an ARP fence".to_owned();
    CannotMeasure::Deadline { what, seconds: PATIENCE.as_secs() }.into()
}

/// The sender address of fence number `fence`.
fn mark(fence: u32) -> Mac {
    let [a, b, c, d] = fence.to_be_bytes();
    Mac([0x02, 0xfe, a, b, c, d])
}

fn is_answer(reply: &Reply, mark: Mac) -> bool {
    matches!(reply.body, Body::Neighbour(Neighbour { asker: Some(asker), .. }) if asker == mark)
}
