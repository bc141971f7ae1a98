//! The code that plants a fault on the link. It acts before a probe is sent, so that the fault precedes the true
//! answer.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::forgery::ForgedSegment;
use super::wire::Wire;
use super::{Fault, Sabotage, log_flood};
use crate::error::Result;
use crate::lab::host::namespace::Isolated;
use crate::lab::{Capture, LabOptions, LinkMode};
use crate::net::InterfaceName;
use crate::probe::Ends;

/// Plants a fault on the link, and counts the planted frames that the prober has read.
pub struct FaultInjector {
    capture: Capture,
    sabotage: Arc<Sabotage>,
    mode: LinkMode,
    wire: Wire,
    /// Frames that were planted and not read by the prober yet.
    unread: RefCell<Vec<Vec<u8>>>,
}

/// The state of the link when a probe is about to be sent.
pub struct LinkState<'a> {
    /// Ethernet addresses of both ends.
    pub ends: &'a Ends,
    /// The address that answers the fences.
    pub host: Ipv4Addr,
    /// The answers to an earlier fence, and to one that is not sent yet: frames of the host; on a TUN the fences
    /// themselves, which the kernel logs.
    pub other_fences: [Vec<u8>; 2],
}

impl FaultInjector {
    /// Opens the host's end of the link.
    pub fn new(
        isolated: &Isolated,
        interface: &InterfaceName,
        equipment: &LabOptions,
        sabotage: Arc<Sabotage>,
    ) -> Result<FaultInjector> {
        let (wire, unread) = (Wire::open(isolated, interface)?, RefCell::default());
        Ok(FaultInjector { sabotage, mode: equipment.link, capture: equipment.capture, wire, unread })
    }

    /// Acts if `frame`, which is about to be sent, is a probe. `send` puts a frame on the link from the prober's side,
    /// `send_packet` a packet on a TUN.
    pub fn before(
        &self,
        frame: &[u8],
        state: &LinkState,
        send: impl Fn(&[u8]) -> Result<()>,
        send_packet: impl Fn(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(segment) = ForgedSegment::from_ethernet(frame, state.ends) else { return Ok(()) };
        match self.sabotage.fault {
            Fault::StaleReply => self.inject(self.mode.carried(&segment.stale_syn_ack())),
            Fault::ResetOfAStranger => self.inject(self.mode.carried(&segment.reset_of_a_stranger())),
            Fault::ResetOutOfWindow => self.inject(self.mode.carried(&segment.reset_out_of_window())),
            Fault::WrongFence => state.other_fences.iter().try_for_each(|other| match self.mode {
                LinkMode::Tap => self.inject(other),
                LinkMode::Tun => self.planted(other, send_packet(other)),
            }),
            Fault::LogOverrun if self.sabotage.planted() == 0 => match self.capture {
                Capture::Kmsg => log_flood::overrun(&self.sabotage, state.host, state.ends, send),
                Capture::Nflog => log_flood::overfill(&self.sabotage, state.host, state.ends, send),
            },
            // Planted once already, or planted elsewhere.
            Fault::LogOverrun
            | Fault::BlindLog
            | Fault::LostTrace
            | Fault::LostRouting
            | Fault::FullConntrack
            | Fault::NothingLoaded => Ok(()),
        }
    }

    /// Counts a frame that the prober has read, if it is a planted one.
    pub fn notice(&self, frame: &[u8]) {
        let mut unread = self.unread.borrow_mut();
        if let Some(index) = unread.iter().position(|forged| forged == frame) {
            unread.swap_remove(index);
            self.sabotage.meet();
        }
    }

    /// Sends a forged frame from the host's end.
    fn inject(&self, forged: &[u8]) -> Result<()> {
        self.planted(forged, self.wire.inject(forged))
    }

    fn planted(&self, forged: &[u8], sent: Result<()>) -> Result<()> {
        sent?;
        self.sabotage.plant(1);
        self.unread.borrow_mut().push(forged.to_vec());
        Ok(())
    }
}
