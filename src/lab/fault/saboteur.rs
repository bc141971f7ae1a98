//! Who sits on the link, and acts before a probe is sent: what is planted is there before the true answer.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::forgery::Asked;
use super::wire::Wire;
use super::{Fault, Sabotage, log_flood};
use crate::discovery;
use crate::error::Result;
use crate::lab::Capture;
use crate::lab::namespace::Isolated;
use crate::net::{InterfaceName, Mac};
use crate::probe::Ends;

/// Plants a fault on the link, and counts what of it the prober has read.
pub struct Saboteur {
    capture: Capture,
    sabotage: Arc<Sabotage>,
    wire: Wire,
    /// Frames that are on the link, or were passed over unread.
    unread: RefCell<Vec<Vec<u8>>>,
}

/// What the link knows of itself when a probe is about to be sent.
pub struct Moment<'a> {
    /// Ethernet addresses of both ends.
    pub ends: &'a Ends,
    /// The address that answers the fences.
    pub host: Ipv4Addr,
    /// To whom the answer of an earlier fence went, and to whom that of a fence which is not sent yet will go.
    pub other_fences: [Mac; 2],
}

impl Saboteur {
    /// Takes his place at the host's end of the link.
    pub fn new(
        isolated: &Isolated,
        interface: &InterfaceName,
        capture: Capture,
        sabotage: Arc<Sabotage>,
    ) -> Result<Saboteur> {
        Ok(Saboteur { capture, sabotage, wire: Wire::open(isolated, interface)?, unread: RefCell::default() })
    }

    /// Acts if `frame`, which is about to be sent, is a probe. `send` puts a frame on the link from the prober's side.
    pub fn before(&self, frame: &[u8], moment: &Moment, send: impl Fn(&[u8]) -> Result<()>) -> Result<()> {
        let Some(asked) = Asked::from_ethernet(frame, moment.ends) else { return Ok(()) };
        match self.sabotage.fault {
            Fault::StaleReply => self.inject(asked.stale_syn_ack()),
            Fault::ResetOfAStranger => self.inject(asked.reset_of_a_stranger()),
            Fault::ResetOutOfWindow => self.inject(asked.reset_out_of_window()),
            Fault::WrongFence => self.answer_other_fences(moment),
            Fault::LogOverrun if self.sabotage.planted() == 0 => match self.capture {
                Capture::Kmsg => log_flood::overrun(&self.sabotage, moment.host, moment.ends, send),
                Capture::Nflog => log_flood::overfill(&self.sabotage, moment.host, moment.ends, send),
            },
            // Once is enough; and these are planted elsewhere.
            Fault::LogOverrun | Fault::BlindLog | Fault::LostTrace | Fault::FullConntrack => Ok(()),
        }
    }

    /// Takes note of a frame that the prober has read.
    pub fn notice(&self, frame: &[u8]) {
        let mut unread = self.unread.borrow_mut();
        if let Some(index) = unread.iter().position(|forged| forged == frame) {
            unread.swap_remove(index);
            self.sabotage.meet();
        }
    }

    fn answer_other_fences(&self, moment: &Moment) -> Result<()> {
        let answer = |mark| discovery::arp_reply(moment.ends.host, moment.host, mark);
        moment.other_fences.into_iter().try_for_each(|mark| self.inject(answer(mark)))
    }

    fn inject(&self, frame: Vec<u8>) -> Result<()> {
        self.wire.inject(&frame)?;
        self.sabotage.plant(1);
        self.unread.borrow_mut().push(frame);
        Ok(())
    }
}
