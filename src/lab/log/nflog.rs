//! A socket for logged packets (`NFLOG`, nfnetlink_log): it receives the whole packets that rules log to a group, with
//! the prefix and the interfaces. See linux/netfilter/nfnetlink_log.h and net/netfilter/nfnetlink_log.c.
//!
//! With a queue threshold of one, the kernel delivers in the context of the packet: when the fence has been answered,
//! all messages are there. Messages that do not fit into the socket's buffer are reported as ENOBUFS: that is a loss.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::error::{CannotMeasure, Context, Error, Result};
use crate::lab::fault::Sabotage;
use crate::lab::host::namespace::Isolated;
use crate::lab::host::receive_buffer::{grow, probes_at_once};
use crate::lab::host::wait;
use crate::lab::trace::nfnetlink::{Attributes, ULOG, acknowledge, attributes, config_message, messages};
use crate::net::Family;
use crate::sys;

/// The socket's buffer, in bytes: a batch of probes is a few hundred messages of some hundred bytes each.
const BUFFER: usize = 16 << 20;

/// The kernel raises it to its minimum (`SOCK_MIN_RCVBUF`).
const SMALLEST_BUFFER: usize = 1;

/// The longest message: a whole packet and its attributes.
const MESSAGE_MAX: usize = 70_000;

/// The message type, `NFULNL_MSG_PACKET`.
const PACKET: u16 = ULOG << 8;

/// A socket that is bound to groups of the lab's namespace.
pub struct Nflog {
    socket: Socket,
    granted: usize,
    instrument: &'static str,
    buffer: Vec<u8>,
    starved: Option<Arc<Sabotage>>,
}

/// A packet that a rule logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged<'a> {
    /// The group that the rule named.
    pub group: u16,
    /// The family of the rule.
    pub family: Family,
    /// The hook (`NF_INET_*`, linux/netfilter.h).
    pub hook: u8,
    /// The rule's own prefix.
    pub prefix: &'a [u8],
    /// Index of the incoming interface; `None` for packets that the host sends.
    pub input: Option<u32>,
    /// Index of the outgoing interface.
    pub output: Option<u32>,
    /// The mark of the packet (`-j MARK`), zero if it has none.
    pub mark: u32,
    /// The link-layer header of an incoming packet; empty if there is none.
    pub link_header: &'a [u8],
    /// Type of the link layer (`ARPHRD_*`, linux/if_arp.h) of an incoming packet.
    pub link_type: Option<u16>,
    /// User and group of the socket that sends it.
    pub owner: Option<(u32, u32)>,
    /// The packet, beginning with the network header.
    pub packet: &'a [u8],
}

impl Nflog {
    /// Opens a socket in the lab's namespace, to which it stays bound, and binds it to `groups`. `instrument` is its
    /// name in errors.
    pub fn open(isolated: &Isolated, groups: impl IntoIterator<Item = u16>, instrument: &'static str) -> Result<Nflog> {
        isolated.assert("listening to logged packets")?;
        let mut socket = Socket::new(NETLINK_NETFILTER).context("open a socket for logged packets")?;
        socket.bind(&SocketAddr::new(0, 0)).context("bind a socket for logged packets")?;
        let granted = grow(&socket, BUFFER)?;
        let nflog = Nflog { socket, granted, instrument, buffer: vec![0; MESSAGE_MAX], starved: None };
        for group in groups {
            nflog.listen(group)?;
        }
        Ok(nflog)
    }

    /// The number of probes that may be sent before the socket is read.
    pub fn probes_at_once(&self) -> usize {
        probes_at_once(self.granted)
    }

    /// The number of messages that fit into the buffer. Each has a buffer of more than a page
    /// (`NFULNL_NLBUFSIZ_DEFAULT`).
    pub fn messages_at_once(&self) -> usize {
        const ROOM_OF_A_MESSAGE: usize = 8 << 10;
        (self.granted / ROOM_OF_A_MESSAGE).max(1)
    }

    /// Makes the socket too small: a fault that must be noticed as a loss.
    pub fn shrink_buffer(&mut self, sabotage: Arc<Sabotage>) -> Result<()> {
        grow(&self.socket, SMALLEST_BUFFER)?;
        self.starved = Some(sabotage);
        Ok(())
    }

    /// Binds `group`, for whole packets without a queue.
    fn listen(&self, group: u16) -> Result<()> {
        let doing = || format!("listen to the log group {group}");
        const COMMAND: u16 = 1;
        const BIND: u8 = 1;
        self.configure(group, Attributes::new().bytes(COMMAND, &[BIND])).context(doing())?;
        const MODE: u16 = 2;
        // struct nfulnl_msg_config_mode: copy range, copy mode (NFULNL_COPY_PACKET), padding.
        const WHOLE_PACKETS: [u8; 6] = [0, 0, 0xff, 0xff, 2, 0];
        const QUEUE_THRESHOLD: u16 = 5;
        let each_at_once = Attributes::new().bytes(MODE, &WHOLE_PACKETS).be32(QUEUE_THRESHOLD, 1);
        self.configure(group, each_at_once).context(doing())
    }

    fn configure(&self, group: u16, attributes: Attributes) -> std::io::Result<()> {
        self.socket.send_to(&config_message(group, attributes), &SocketAddr::new(0, 0), 0)?;
        // A packet of an earlier group could arrive before the acknowledgment, but no packet is sent yet.
        let (answer, _) = self.socket.recv_from_full()?;
        acknowledge(&answer)
    }

    /// Calls `each` with every packet since the last call.
    pub fn drain(&mut self, mut each: impl FnMut(&Logged) -> Result<()>) -> Result<()> {
        while let Some(length) = self.receive()? {
            for message in messages(&self.buffer[..length]) {
                if message.kind == PACKET {
                    let logged = Logged::read(message.payload);
                    each(&logged.ok_or_else(|| self.lost("a message was cut short"))?)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for a logged packet. False if `deadline` has passed.
    pub fn wait(&self, deadline: Instant) -> Result<bool> {
        let socket: BorrowedFd = sys::borrow_fd(self, self.socket.as_raw_fd());
        wait::until_readable(socket.as_fd(), deadline).context("wait for a logged packet")
    }

    /// Reads and discards all messages; returns their number.
    pub fn discard(&mut self) -> Result<usize> {
        let mut discarded = 0;
        while self.receive()?.is_some() {
            discarded += 1;
        }
        Ok(discarded)
    }

    /// Reads and discards all messages, and ignores a loss, since they are not needed.
    pub fn forget(&mut self) -> Result<()> {
        loop {
            match self.discard() {
                Err(Error::CannotMeasure(CannotMeasure::Loss { .. })) => {}
                discarded => return discarded.map(drop),
            }
        }
    }

    /// Reads the next message and returns its length; `None` if there is none.
    fn receive(&mut self) -> Result<Option<usize>> {
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(Errno::ENOBUFS) => Err(self.overrun()),
            Err(error) => Err(error).context("read logged packets"),
        }
    }

    fn overrun(&self) -> Error {
        if let Some(sabotage) = &self.starved {
            sabotage.meet();
        }
        self.lost("it had no room for them (ENOBUFS)")
    }

    fn lost(&self, evidence: &str) -> Error {
        CannotMeasure::Loss { instrument: self.instrument, evidence: evidence.to_owned() }.into()
    }
}

// From enum nfulnl_attr_type.
const PACKET_HEADER: u16 = 1;
const MARK: u16 = 2;
const INPUT: u16 = 4;
const OUTPUT: u16 = 5;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;
const UID: u16 = 11;
const GID: u16 = 14;
const LINK_TYPE: u16 = 15;
const LINK_HEADER: u16 = 16;

impl<'a> Logged<'a> {
    /// Parses nfgenmsg (family, version, group) and the attributes after it.
    fn read(payload: &'a [u8]) -> Option<Logged<'a>> {
        let family = match payload.first()? {
            2 => Family::Ipv4,
            10 => Family::Ipv6,
            _ => return None,
        };
        let group = be16(payload.get(2..4)?)?;
        let mut found: [Option<&[u8]>; 17] = [None; 17];
        for (kind, value) in attributes(payload.get(4..)?) {
            if let Some(place) = found.get_mut(usize::from(kind)) {
                *place = Some(value);
            }
        }
        let value = |kind: u16| found[usize::from(kind)];
        let number = |kind: u16| value(kind).and_then(be32);
        Some(Logged {
            group,
            family,
            // From struct nfulnl_msg_packet_hdr: ethertype, hook, padding.
            hook: *value(PACKET_HEADER)?.get(2)?,
            prefix: value(PREFIX).map_or(&[], without_nul),
            input: number(INPUT),
            output: number(OUTPUT),
            mark: number(MARK).unwrap_or(0),
            link_header: value(LINK_HEADER).unwrap_or_default(),
            link_type: value(LINK_TYPE).and_then(be16),
            owner: number(UID).zip(number(GID)),
            packet: value(PAYLOAD).unwrap_or_default(),
        })
    }
}

fn without_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn be16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn be32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
