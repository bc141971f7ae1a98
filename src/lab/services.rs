//! What listens on the host: real sockets in the lab's namespace. The kernel shakes hands by itself; [`Services::serve`]
//! then accepts what has come and sends the greeting, in the prober's own context.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::namespace::Isolated;
use super::weather;
use crate::error::{Doing, Result};
use crate::port::Port;

/// A service on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The port that it listens on, on every address.
    pub port: Port,
    /// What it sends to whoever connects.
    pub greeting: Option<&'static str>,
}

/// Listening sockets; they close when dropped.
#[derive(Debug)]
pub struct Services {
    listeners: BTreeMap<Port, (TcpListener, Service)>,
}

impl Services {
    /// Starts to listen, in both families where there are both.
    pub fn start(isolated: &Isolated, services: &[Service]) -> Result<Services> {
        isolated.assert("listening")?;
        let listeners = services.iter().map(|service| Ok((service.port, (listen(service.port)?, service.clone()))));
        Ok(Services { listeners: listeners.collect::<Result<_>>()? })
    }

    /// Accepts every connection that waits on `port`, and greets. The connections close when the result is dropped;
    /// none means that the kernel handed none over.
    pub fn serve(&self, port: Port) -> Result<Vec<TcpStream>> {
        let greeting = self.listeners.get(&port).and_then(|(_, service)| service.greeting);
        let mut connections = self.accept(port)?;
        for connection in &mut connections {
            // A client that is gone already gets no greeting; that is its verdict, not an error.
            let _ = greet(connection, greeting);
        }
        Ok(connections)
    }

    /// Accepts every connection that waits anywhere, and greets.
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
                // The client reset before it was accepted (accept(2), "Error handling").
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error).doing(format!("accept a connection on port {port}")),
            }
        }
    }
}

impl Services {
    /// Accepts every connection that waits anywhere, and resets it, so that a queue of 128 places has room for the next:
    /// from a full one no SYN is answered (`tcp_conn_request`).
    pub fn hang_up(&self) -> Result<()> {
        for port in self.listeners.keys() {
            for connection in self.accept(*port)? {
                let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
                // A connection that is gone already needs no reset.
                let _ = setsockopt(&connection, sockopt::Linger, &at_once);
            }
        }
        Ok(())
    }
}

fn greet(connection: &mut TcpStream, greeting: Option<&str>) -> std::io::Result<()> {
    greeting.map_or(Ok(()), |greeting| connection.write_all(format!("{greeting}\r\n").as_bytes()))
}

/// A socket bound to `::` takes both families; without IPv6 there is only `0.0.0.0`.
fn listen(port: Port) -> Result<TcpListener> {
    let any = if weather::has_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let listener = TcpListener::bind(SocketAddr::new(any, port.0)).doing(format!("listen on port {port}"))?;
    listener.set_nonblocking(true).doing(format!("listen on port {port}"))?;
    Ok(listener)
}
