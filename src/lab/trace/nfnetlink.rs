//! A socket to netfilter (NETLINK_NETFILTER) and the part of nf_tables' message format that the lab uses: attributes,
//! nested attributes, and a batch that is applied as a whole or not at all. See linux/netfilter/nfnetlink.h and
//! nf_tables.h.

use std::io;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use crate::error::{Context, Result};
use crate::lab::host::namespace::Isolated;
use crate::net::Family;

/// Subsystem of nf_tables messages.
pub const NFTABLES: u16 = 10;
/// Subsystem of conntrack messages.
pub const CTNETLINK: u16 = 1;
/// Subsystem of messages about logged packets (`NFNL_SUBSYS_ULOG`).
pub const ULOG: u16 = 4;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
/// The flag of an attribute that contains attributes.
pub const NLA_F_NESTED: u16 = 1 << 15;

/// `AF_UNSPEC`, for messages without a family.
pub const UNSPECIFIED: u8 = 0;

/// A netfilter socket of the lab's namespace.
pub struct Nfnetlink {
    socket: Socket,
    /// The number of bytes that may be sent at once.
    most: usize,
}

/// The operation of a transaction on its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Creates them: `NLM_F_CREATE`.
    Create = 0x400,
    /// Replaces those with the same handle: `NLM_F_REPLACE`.
    Replace = 0x100,
}

/// A request: its subsystem and type, its family, and its attributes.
pub struct Request {
    /// Subsystem.
    pub subsystem: u16,
    /// Type within the subsystem.
    pub kind: u8,
    /// `AF_INET`, `AF_INET6`, ...
    pub family: u8,
    /// Its attributes.
    pub attributes: Attributes,
}

impl Nfnetlink {
    /// Opens a socket in the lab's namespace, to which it stays bound.
    pub fn open(isolated: &Isolated) -> Result<Nfnetlink> {
        isolated.assert("opening a netfilter socket")?;
        let mut socket = Socket::new(NETLINK_NETFILTER).context("open a netfilter socket")?;
        socket.bind_auto().context("bind a netfilter socket")?;
        let most = room_to_send(&socket);
        let netlink = Nfnetlink { socket, most };
        netlink.make_room_for_dumps().context("ask netfilter for an acknowledgment")?;
        Ok(netlink)
    }

    /// Enlarges the buffer for dumps. The kernel writes lists into buffers of the size of the last read, 32 KiB at
    /// most, and of 3.8 KiB at first; an item that is larger ends the list without an error (`netlink_dump` and
    /// `netlink_recvmsg` in net/netlink/af_netlink.c).
    fn make_room_for_dumps(&self) -> io::Result<()> {
        const NOOP: u16 = 1;
        let mut bytes = Vec::new();
        write_header(&mut bytes, NOOP, NLM_F_REQUEST | NLM_F_ACK, 1, UNSPECIFIED, 0, &[]);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        let mut answer = Vec::with_capacity(64 << 10);
        self.socket.recv_from(&mut answer, 0)?;
        acknowledge(&answer)
    }

    /// Sends a request and waits for its acknowledgment.
    pub fn request(&self, request: Request) -> io::Result<()> {
        let mut bytes = Vec::new();
        write_message(&mut bytes, request, NLM_F_ACK, 1);
        self.exchange(&bytes, 1)
    }

    /// Sends independent requests that create objects, all at once. The first refusal is the error; the later answers
    /// stay in the socket.
    pub fn create_each(&self, requests: Vec<Request>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let last = requests.len().saturating_sub(1);
        for (index, request) in requests.into_iter().enumerate() {
            let acknowledge = if index == last { NLM_F_ACK } else { 0 };
            write_message(&mut bytes, request, Mode::Create as u16 | acknowledge, 1);
        }
        self.exchange(&bytes, 1)
    }

    /// Requests a list, and calls `each` with the attributes of every item.
    pub fn dump(&self, request: Request, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let item = request.subsystem << 8;
        let mut bytes = Vec::new();
        write_message(&mut bytes, request, NLM_F_DUMP, 1);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            for message in messages(&answer) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => acknowledged(message.payload)?,
                    kind if kind & 0xff00 == item => each(message.payload.get(4..).unwrap_or_default()),
                    _ => {}
                }
            }
        }
    }

    /// Sends nf_tables requests, and waits until they are committed: in one transaction, or in several if the kernel
    /// does not accept so many bytes at once (EMSGSIZE).
    ///
    /// Only the last request of a transaction requests an acknowledgment, since a failure is reported in any case
    /// (`nfnetlink_rcv_batch`): hundreds of them do not fit into the receive buffer (ENOBUFS).
    pub fn transaction(&self, requests: Vec<Request>, mode: Mode) -> io::Result<()> {
        transactions(requests, mode, self.most).iter().try_for_each(|bytes| self.exchange(bytes, 1))
    }

    /// Sends the bytes and reads the answers, which the kernel sends within send(2). The first failure is the error,
    /// and none of the requests is done then.
    fn exchange(&self, bytes: &[u8], mut acknowledgments: usize) -> io::Result<()> {
        self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        while acknowledgments > 0 {
            let (answer, _) = self.socket.recv_from_full()?;
            for message in messages(&answer) {
                if message.kind == NLMSG_ERROR {
                    acknowledged(message.payload)?;
                    acknowledgments -= 1;
                }
            }
        }
        Ok(())
    }
}

/// Requests a larger send buffer, and returns its size in bytes; only `CAP_NET_ADMIN` of the machine can exceed
/// `net.core.wmem_max`.
fn room_to_send(socket: &Socket) -> usize {
    const WANTED: usize = 4 << 20;
    /// More than the kernel uses of it for itself (`netlink_sendmsg`).
    const KEPT: usize = 4 << 10;
    let _ = setsockopt(socket, sockopt::SndBufForce, &WANTED);
    getsockopt(socket, sockopt::SndBuf).unwrap_or_default().saturating_sub(KEPT)
}

/// Divides the requests into transactions of at most `most` bytes, or of a single request.
fn transactions(requests: Vec<Request>, mode: Mode, most: usize) -> Vec<Vec<u8>> {
    const MARKER: usize = NLMSG_HEADER + 4;
    let mut batches: Vec<Vec<Request>> = Vec::new();
    let mut room = 0;
    for request in requests {
        let length = align(MARKER + request.attributes.0.len());
        match batches.last_mut().filter(|_| length <= room) {
            Some(batch) => batch.push(request),
            None => {
                batches.push(vec![request]);
                room = most.saturating_sub(2 * MARKER);
            }
        }
        room = room.saturating_sub(length);
    }
    batches.into_iter().map(|batch| transaction(batch, mode)).collect()
}

fn transaction(requests: Vec<Request>, mode: Mode) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_batch_marker(&mut bytes, BATCH_BEGIN);
    let last = requests.len().saturating_sub(1);
    for (index, request) in requests.into_iter().enumerate() {
        let acknowledge = if index == last { NLM_F_ACK } else { 0 };
        write_message(&mut bytes, request, acknowledge | mode as u16, 1);
    }
    write_batch_marker(&mut bytes, BATCH_END);
    bytes
}

fn acknowledged(payload: &[u8]) -> io::Result<()> {
    match payload.get(..4).map(|code| i32::from_ne_bytes(code.try_into().expect("four bytes"))) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        None => Err(io::Error::other("netlink cut an acknowledgment short")),
    }
}

/// Returns the acknowledgment in `answer`.
pub fn acknowledge(answer: &[u8]) -> io::Result<()> {
    let mut answers = messages(answer).filter(|message| message.kind == NLMSG_ERROR);
    answers.next().map_or_else(|| Err(io::Error::other("netlink did not acknowledge")), |one| acknowledged(one.payload))
}

/// Builds `NFULNL_MSG_CONFIG` for a log group, with an acknowledgment.
pub fn config_message(group: u16, attributes: Attributes) -> Vec<u8> {
    const CONFIG: u16 = ULOG << 8 | 1;
    let mut bytes = Vec::new();
    write_header(&mut bytes, CONFIG, NLM_F_REQUEST | NLM_F_ACK, 1, UNSPECIFIED, group, &attributes.0);
    bytes
}

/// A received netlink message.
pub struct NetlinkMessage<'a> {
    /// Subsystem in the high byte, type in the low byte.
    pub kind: u16,
    /// The bytes after the header.
    pub payload: &'a [u8],
}

/// Parses the messages of a datagram.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkMessage<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let payload = bytes.get(NLMSG_HEADER..length)?;
        bytes = bytes.get(align(length)..).unwrap_or_default();
        Some(NetlinkMessage { kind, payload })
    })
}

fn write_message(bytes: &mut Vec<u8>, request: Request, flags: u16, sequence: u32) {
    let kind = request.subsystem << 8 | u16::from(request.kind);
    write_header(bytes, kind, NLM_F_REQUEST | flags, sequence, request.family, 0, &request.attributes.0);
}

/// Writes the marker of a batch, which has the subsystem in the place of the resource number of other messages.
fn write_batch_marker(bytes: &mut Vec<u8>, kind: u16) {
    write_header(bytes, kind, NLM_F_REQUEST, 0, UNSPECIFIED, NFTABLES, &[]);
}

/// Writes nlmsghdr, then nfgenmsg: family, version 0, resource.
fn write_header(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, family: u8, resource: u16, body: &[u8]) {
    let length = NLMSG_HEADER + 4 + body.len();
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(body);
    pad(bytes);
}

/// A list of netlink attributes (linux/netlink.h, struct nlattr).
#[derive(Debug, Clone, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// An empty list.
    pub fn new() -> Attributes {
        Attributes::default()
    }

    /// Adds bytes.
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Attributes {
        self.0.extend((4 + value.len() as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        pad(&mut self.0);
        self
    }

    /// Adds a string, with the NUL byte that the kernel expects.
    pub fn string(self, kind: u16, value: &str) -> Attributes {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds a number in network byte order, which all of nf_tables uses.
    pub fn be32(self, kind: u16, value: u32) -> Attributes {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// The encoded attributes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds attributes within an attribute.
    pub fn nested(self, kind: u16, inner: Attributes) -> Attributes {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }
}

/// Parses the attributes in `bytes`: type, without the flags for nesting and byte order, and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [low, high, kind_low, kind_high] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let kind = u16::from_ne_bytes([kind_low, kind_high]);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(align(length)..).unwrap_or_default();
        Some((kind & 0x3fff, value))
    })
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(align(bytes.len()), 0);
}

fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Returns `AF_INET` or `AF_INET6`, which nf_tables calls `NFPROTO_IPV4` and `NFPROTO_IPV6`.
pub fn protocol_family(family: Family) -> u8 {
    family.pick(2, 10)
}

/// Builds a request that deletes every entry of the namespace's conntrack table: `IPCTNL_MSG_CT_DELETE` without a
/// tuple.
pub fn flush_conntrack() -> Request {
    const DELETE: u8 = 2;
    Request { subsystem: CTNETLINK, kind: DELETE, family: UNSPECIFIED, attributes: Attributes::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn netlink_messages_round_trip() {
        let attributes_in = Attributes::new().be32(1, 7).nested(2, Attributes::new().string(3, "INPUT"));
        let mut bytes = Vec::new();
        write_message(&mut bytes, Request { subsystem: 10, kind: 3, family: 2, attributes: attributes_in }, 0, 1);
        write_batch_marker(&mut bytes, BATCH_END);
        let read: Vec<_> = messages(&bytes).map(|message| (message.kind, message.payload[4..].to_vec())).collect();
        assert_eq!((read[0].0, read[1].0, read.len()), (10 << 8 | 3, BATCH_END, 2));
        let outer: Vec<_> = attributes(&read[0].1).collect();
        assert_eq!(outer[0], (1, &7u32.to_be_bytes()[..]));
        assert_eq!(attributes(outer[1].1).collect::<Vec<_>>(), [(3, &b"INPUT\0"[..])]);
    }

    #[test]
    fn requests_that_are_too_long_for_one_transaction_make_several() {
        let request = |length| Request {
            subsystem: 10,
            kind: 6,
            family: 2,
            attributes: Attributes::new().bytes(1, &vec![0; length]),
        };
        let requests = || vec![request(100), request(200), request(5000), request(8), request(300)];
        let sizes = |most| -> Vec<usize> {
            transactions(requests(), Mode::Replace, most).iter().map(|bytes| messages(bytes).count() - 2).collect()
        };
        assert_eq!([sizes(1 << 20), sizes(600), sizes(0)], [vec![5], vec![2, 1, 2], vec![1; 5]]);
        assert!(
            transactions(requests(), Mode::Replace, 1000)
                .iter()
                .all(|bytes| bytes.len() <= 1000 || messages(bytes).count() == 3)
        );
    }

    #[test]
    fn an_acknowledgment_that_no_kernel_sends_is_an_error() {
        assert!(acknowledged(&i32::MIN.to_ne_bytes()).is_err());
        assert!(acknowledged(&[0, 0]).is_err());
        assert!(acknowledged(&0i32.to_ne_bytes()).is_ok());
    }

    proptest! {
        /// A length of 0 must not cause an endless loop.
        #[test]
        fn no_datagram_makes_it_panic_or_stay(
            lengths in proptest::collection::vec((0u32..80, any::<u16>()), 0..6),
            noise in proptest::collection::vec(any::<u8>(), 0..128),
        ) {
            let mut bytes = noise;
            for (at, (length, kind)) in lengths.into_iter().enumerate() {
                let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes()].concat();
                let at = (at * 20).min(bytes.len());
                bytes.splice(at..at, header);
            }
            for message in messages(&bytes) {
                prop_assert!(attributes(message.payload).count() <= message.payload.len() / 4);
                let _ = acknowledged(message.payload);
            }
            prop_assert!(messages(&bytes).count() <= bytes.len() / NLMSG_HEADER);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4);
        }
    }
}
