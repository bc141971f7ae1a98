//! The client of a session is a kernel of its own, at the other end of the link: its TCP has timestamps, scales its
//! window, and retransmits. The lab forwards its frames, and those of the host, in turn. So a segment arrives before the
//! function that sends it returns, unless a rule keeps it out.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use pnet_packet::ip::IpNextHeaderProtocols;

use super::Opening;
use crate::error::{CannotMeasure, Context, Result};
use crate::lab::host::interface::{FRAME_MAX, Interface};
use crate::lab::host::link::ProberLink;
use crate::lab::host::namespace::{Isolated, KeptNamespace, in_fresh_namespace};
use crate::lab::host::netcfg::{self, LinkSetup};
use crate::lab::host::other_end::{self, runtime, turned, turned_link};
use crate::lab::host::services::ListeningSockets;
use crate::net::Family;
use crate::wire::reply::Flow;

/// The time in which the answer to a segment arrives, even if the kernel defers it on a busy machine: shorter than the
/// timer of a retransmission.
pub(super) const QUICK: Duration = Duration::from_millis(150);

/// The time in which a segment arrives that was retransmitted twice.
const RETRANSMITTED: Duration = Duration::from_secs(1);

/// The first timer of a retransmission (`TCP_RTO_MIN`).
const TIMER: Duration = Duration::from_millis(200);

/// The time limit for a segment that the client's kernel has to send.
const DEADLINE: Duration = Duration::from_secs(10);

/// The length of an Ethernet header.
const ETHERNET: usize = 14;

/// The kernel of clients.
pub(super) struct ClientKernel {
    namespace: KeptNamespace,
    interface: Interface,
    /// The length of the header before an IP packet.
    header: usize,
    /// Sockets that are not connected yet.
    sockets: BTreeMap<Family, Vec<OwnedFd>>,
    buffer: Vec<u8>,
    /// The number of frames that it has sent.
    pub sent: usize,
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Host,
}

/// An open connection: the sockets of both ends.
pub(super) struct OpenSession {
    pub flow: Flow,
    client: TcpStream,
    host: TcpStream,
    /// The bytes of each end that the other one has not read.
    unread: [usize; 2],
}

/// The time after which data arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    AtOnce,
    /// After a retransmission.
    Late,
    Never,
}

impl ClientKernel {
    /// Starts a kernel at the other end of `link`, which has these addresses.
    pub fn start(link: LinkSetup, addresses: &[IpAddr]) -> Result<ClientKernel> {
        in_fresh_namespace(|isolated| {
            let known = |address: &IpAddr| *address == link.addresses.prober(Family::from_address(*address));
            let more: Vec<IpAddr> = addresses.iter().copied().filter(|address| !known(address)).collect();
            let interface = other_end::create(isolated, link, &more)?;
            let own = turned(link.addresses);
            let hosts: Vec<IpAddr> = link.families.iter().map(|family| link.addresses.host(*family)).collect();
            netcfg::acknowledge_at_once(isolated, &runtime()?, turned_link(link, &own), &hosts)?;
            let header = if link.mode.has_macs() { ETHERNET } else { 0 };
            let (namespace, buffer) = (KeptNamespace::of(isolated)?, vec![0; FRAME_MAX]);
            Ok(ClientKernel { namespace, interface, header, sockets: BTreeMap::new(), buffer, sent: 0 })
        })
    }

    /// Opens a connection, or returns how far that succeeded.
    pub fn open(
        &mut self,
        flow: Flow,
        host: &mut ProberLink,
        services: &ListeningSockets,
    ) -> Result<std::result::Result<OpenSession, Opening>> {
        let mut client = self.connect(flow)?;
        let syn = self.first_frame()?;
        host.forward(&syn)?;
        let mut failure = None;
        self.exchange_until(host, QUICK, || {
            failure = client.take_error().context("look at a connection")?;
            Ok(failure.is_some() || client.peer_addr().is_ok())
        })?;
        match failure {
            Some(error) => return refusal(error).map(Err),
            None if client.peer_addr().is_err() => return Ok(Err(Opening::Silent)),
            None => {}
        }
        for (number, patience) in [QUICK, RETRANSMITTED].into_iter().enumerate() {
            let mut accepted = None;
            self.exchange_until(host, patience, || {
                accepted = services.serve_client_of(flow.port)?.pop();
                Ok(accepted.is_some())
            })?;
            if let Some(accepted) = accepted {
                accepted.set_nonblocking(true).context("work over a connection")?;
                accepted.set_nodelay(true).context("work over a connection")?;
                return Ok(Ok(OpenSession { flow, client, host: accepted, unread: [number, 0] }));
            }
            // SSH's client sends its banner at once, and behind SYNPROXY it is what completes the handshake.
            if number > 0 || client.write_all(b"\n").is_err() {
                break;
            }
        }
        Ok(Err(Opening::HalfOpen))
    }

    fn connect(&mut self, flow: Flow) -> Result<TcpStream> {
        let socket = self.socket(flow.family())?;
        let address = |ip, port| SockaddrStorage::from(SocketAddr::new(ip, port));
        let own = address(flow.prober, flow.prober_port.0);
        bind(socket.as_raw_fd(), &own).context(format!("open a connection from {}", flow.prober))?;
        match connect(socket.as_raw_fd(), &address(flow.host, flow.port.0)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(socket)),
            Err(error) => Err(error).context(format!("open a connection to {}", flow.host)),
        }
    }

    fn socket(&mut self, family: Family) -> Result<OwnedFd> {
        let sockets = self.sockets.entry(family).or_default();
        if sockets.is_empty() {
            sockets.extend(self.namespace.run(|isolated| open_sockets(isolated, family))?);
        }
        Ok(sockets.pop().expect("there are sockets now"))
    }

    /// The next frame with a segment. Others, such as reports of multicast groups, are of no session.
    fn next_frame(&mut self) -> Result<Option<&[u8]>> {
        while let Some(length) = self.interface.receive(&mut self.buffer)? {
            if is_segment(&self.buffer[self.header..length]) {
                self.sent += 1;
                return Ok(Some(&self.buffer[..length]));
            }
        }
        Ok(None)
    }

    /// Forwards frames in both directions until neither end sends any more.
    pub fn exchange(&mut self, host: &mut ProberLink) -> Result<()> {
        let mut is_silent = false;
        while !is_silent {
            is_silent = true;
            while let Some(frame) = self.next_frame()? {
                host.forward(frame)?;
                is_silent = false;
            }
            host.fence_frames(|frame| {
                is_silent = false;
                self.interface.send(frame)
            })?;
        }
        Ok(())
    }

    /// Forwards frames until `done` is true. False if that is not so when neither end has sent any for `patience`.
    fn exchange_until(
        &mut self,
        host: &mut ProberLink,
        patience: Duration,
        mut done: impl FnMut() -> Result<bool>,
    ) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            self.exchange(host)?;
            if done()? {
                return Ok(true);
            }
            if !self.wait(host, deadline)? {
                return Ok(false);
            }
        }
    }

    /// The SYN of a connection that has just been begun.
    fn first_frame(&mut self) -> Result<Vec<u8>> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(frame.to_vec());
            }
            if !self.interface.wait(deadline)? {
                let what = "the first segment of a client's connection".to_owned();
                return Err(CannotMeasure::Deadline { what, seconds: DEADLINE.as_secs() }.into());
            }
        }
    }

    /// Waits until an end sends; false if `deadline` has passed.
    fn wait(&self, host: &ProberLink, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        let ends = [self.interface.as_fd(), host.as_fd()];
        match poll(&mut ends.map(|end| PollFd::new(end, PollFlags::POLLIN)), timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(Instant::now() < deadline),
            Err(error) => Err(error).context("wait for a segment"),
        }
    }
}

impl OpenSession {
    /// Sends data from one end, and waits up to `patience` for retransmissions until the other end has read all of it,
    /// with what it had not read before.
    pub fn send(
        &mut self,
        from: End,
        data: &[u8],
        patience: Duration,
        kernel: &mut ClientKernel,
        host: &mut ProberLink,
    ) -> Result<Delivery> {
        let written = self.ends(from).0.write_all(data);
        self.unread[from as usize] += data.len();
        // A kernel that has given up the connection takes no data: that is no error.
        if written.is_err() {
            return Ok(Delivery::Never);
        }
        let (mut is_open, start) = (true, Instant::now());
        kernel.exchange_until(host, patience, || {
            is_open = self.read(from)?;
            Ok(!is_open || self.unread[from as usize] == 0)
        })?;
        Ok(match self.unread[from as usize] {
            0 if start.elapsed() < TIMER => Delivery::AtOnce,
            0 => Delivery::Late,
            _ => Delivery::Never,
        })
    }

    /// The socket that sends, and the one that receives.
    fn ends(&mut self, from: End) -> (&mut TcpStream, &mut TcpStream) {
        match from {
            End::Client => (&mut self.client, &mut self.host),
            End::Host => (&mut self.host, &mut self.client),
        }
    }

    /// Reads the data of an end that has arrived at the other. False if the connection has ended.
    fn read(&mut self, from: End) -> Result<bool> {
        let mut bytes = [0; 4096];
        loop {
            match self.ends(from).1.read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(length) => self.unread[from as usize] = self.unread[from as usize].saturating_sub(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return refusal(error).map(|_| false),
            }
        }
    }

    /// Sets the TOS, or traffic class, of both ends.
    pub fn set_tos(&self, tos: u8) -> Result<()> {
        for end in [&self.client, &self.host] {
            let set = match self.flow.prober {
                IpAddr::V4(_) => setsockopt(end, sockopt::Ipv4Tos, &tos.into()),
                IpAddr::V6(_) => setsockopt(end, sockopt::Ipv6TClass, &tos.into()),
            };
            set.context("set the TOS of a connection")?;
        }
        Ok(())
    }

    /// Closes it from both ends: FIN and ACK in each direction.
    pub fn close(self, kernel: &mut ClientKernel, host: &mut ProberLink) -> Result<()> {
        // Closing the descriptor would not suffice: a child process that another thread is starting has the socket,
        // too, until its exec. An error means that the connection has ended already.
        for end in [&self.client, &self.host] {
            let _ = end.shutdown(Shutdown::Both);
            kernel.exchange(host)?;
        }
        Ok(())
    }
}

/// True for an IP packet with a segment of TCP, without extension headers.
fn is_segment(packet: &[u8]) -> bool {
    let protocol = packet.first().and_then(|first| packet.get(if first >> 4 == 4 { 9 } else { 6 }));
    protocol == Some(&IpNextHeaderProtocols::Tcp.0)
}

/// The number of sockets that are opened together.
const SOCKETS: usize = 16;

fn open_sockets(isolated: &Isolated, family: Family) -> Result<Vec<OwnedFd>> {
    isolated.assert("opening the sockets of clients")?;
    let family = family.pick(AddressFamily::Inet, AddressFamily::Inet6);
    let open = || -> nix::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, None)?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
        Ok(socket)
    };
    (0..SOCKETS).map(|_| open().context("open the sockets of clients")).collect()
}

/// The result of a connection that the other end, or a rule, has refused.
fn refusal(error: std::io::Error) -> Result<Opening> {
    const REFUSED: [Errno; 8] = [
        Errno::ECONNREFUSED,
        Errno::ECONNRESET,
        Errno::EHOSTUNREACH,
        Errno::ENETUNREACH,
        Errno::EACCES,
        Errno::EPROTO,
        Errno::ENOPROTOOPT,
        Errno::EPIPE,
    ];
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) if REFUSED.contains(&errno) => Ok(Opening::Refused),
        // The client's kernel gives up after its last SYN, and a connection after its last retransmission.
        Some(Errno::ETIMEDOUT) => Ok(Opening::Silent),
        _ => Err(CannotMeasure::System { operation: "work over a connection".to_owned(), source: error }.into()),
    }
}
