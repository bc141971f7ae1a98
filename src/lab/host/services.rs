//! The services of the host: real sockets that listen in the lab's namespace. The kernel completes handshakes by
//! itself; [`ListeningSockets::serve`] then accepts the connections and sends the greeting, in the prober's own
//! context. A UDP service is a bound socket; [`ListeningSockets::answer`] sends its greeting to the sender of every
//! datagram.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::namespace::Isolated;
use super::pinned_sysctls;
use crate::error::{Context, Result};
use crate::net::Protocol;
use crate::net::port::Port;

/// A service on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostService {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port, on every address of the host.
    pub port: Port,
    /// The text that it sends on a connection or, for UDP, in answer to every datagram. `None` sends nothing.
    pub greeting: Option<&'static str>,
}

/// Listening sockets; they close when dropped.
#[derive(Debug)]
pub struct ListeningSockets {
    listeners: BTreeMap<Port, (TcpListener, HostService)>,
    sockets: Vec<(UdpSocket, HostService)>,
}

impl ListeningSockets {
    /// Opens the sockets, for both families if the machine has both.
    pub fn start(isolated: &Isolated, services: &[HostService]) -> Result<ListeningSockets> {
        isolated.assert("listening")?;
        let of = |protocol| services.iter().filter(move |service| service.protocol == protocol);
        let listeners = of(Protocol::Tcp).map(|service| Ok((service.port, (listen(service.port)?, service.clone()))));
        let sockets = of(Protocol::Udp).map(|service| Ok((bind(service.port)?, service.clone())));
        Ok(ListeningSockets { listeners: listeners.collect::<Result<_>>()?, sockets: sockets.collect::<Result<_>>()? })
    }

    /// Reads all queued datagrams, and answers those to services with a greeting.
    pub fn answer(&self) -> Result<()> {
        for (socket, service) in &self.sockets {
            while let Some(sender) = read_one(socket, service.port)? {
                if let Some(greeting) = service.greeting {
                    // It is no error if the firewall drops the answer (EPERM): that is its verdict.
                    let _ = socket.send_to(greeting.as_bytes(), sender);
                }
            }
        }
        Ok(())
    }

    /// Accepts the connections of the only client, which asked for `port`, and sends the greeting. They wait on that port,
    /// or on the one that NAT redirected them to.
    pub fn serve_client_of(&self, port: Port) -> Result<Vec<TcpStream>> {
        let connections = self.serve(port)?;
        if connections.is_empty() { self.serve_all() } else { Ok(connections) }
    }

    /// Accepts all waiting connections on `port`, and sends the greeting. The connections close when the result is
    /// dropped; if it is empty, the kernel has completed no handshake.
    fn serve(&self, port: Port) -> Result<Vec<TcpStream>> {
        let greeting = self.listeners.get(&port).and_then(|(_, service)| service.greeting);
        let mut connections = self.accept(port)?;
        for connection in &mut connections {
            // It is no error if the client has gone already, and gets no greeting: that is the verdict.
            let _ = greet(connection, greeting);
        }
        Ok(connections)
    }

    /// Accepts all waiting connections on every port, and sends the greetings.
    pub fn serve_all(&self) -> Result<Vec<TcpStream>> {
        let served = self.listeners.keys().map(|port| self.serve(*port));
        Ok(served.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn accept(&self, port: Port) -> Result<Vec<TcpStream>> {
        let Some((listener, _)) = self.listeners.get(&port) else { return Ok(Vec::new()) };
        let mut connections = Vec::new();
        loop {
            match listener.accept() {
                Ok((connection, _)) => connections.push(connection),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(connections),
                // The client reset the connection before it was accepted (accept(2), "Error handling").
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error).context(format!("accept a connection on port {port}")),
            }
        }
    }
}

impl ListeningSockets {
    /// Accepts and resets all waiting connections on every port, so that a queue of 128 has room for the next ones: if
    /// it is full, no SYN is answered (`tcp_conn_request`).
    pub fn close_accepted(&self) -> Result<()> {
        for (socket, service) in &self.sockets {
            while read_one(socket, service.port)?.is_some() {}
        }
        for port in self.listeners.keys() {
            for connection in self.accept(*port)? {
                let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
                // A connection that has gone already needs no reset.
                let _ = setsockopt(&connection, sockopt::Linger, &at_once);
            }
        }
        Ok(())
    }
}

fn greet(connection: &mut TcpStream, greeting: Option<&str>) -> std::io::Result<()> {
    greeting.map_or(Ok(()), |greeting| connection.write_all(format!("{greeting}\r\n").as_bytes()))
}

/// Listens on `::`, which includes IPv4; without IPv6, on `0.0.0.0`.
fn listen(port: Port) -> Result<TcpListener> {
    let listener = TcpListener::bind(everywhere(port)).context(format!("listen on port {port}"))?;
    listener.set_nonblocking(true).context(format!("listen on port {port}"))?;
    Ok(listener)
}

fn bind(port: Port) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(everywhere(port)).context(format!("listen on UDP port {port}"))?;
    socket.set_nonblocking(true).context(format!("listen on UDP port {port}"))?;
    Ok(socket)
}

fn everywhere(port: Port) -> SocketAddr {
    let any = if pinned_sysctls::has_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(any, port.0)
}

/// The sender of the next queued datagram; `None` if there is none. The content is ignored.
fn read_one(socket: &UdpSocket, port: Port) -> Result<Option<SocketAddr>> {
    match socket.recv_from(&mut [0; 64]) {
        Ok((_, sender)) => Ok(Some(sender)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context(format!("read a datagram on port {port}")),
    }
}
