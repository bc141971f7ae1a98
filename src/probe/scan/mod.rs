//! The scan techniques of nmap: the packets of each ([`Technique::profile`]), and the port state and reason that a reply
//! means ([`interpret`]) or silence means ([`no_response`]).
//!
//! Pure: no namespaces, rulesets or expectations.
//!
//! The row of a technique in the table of `technique` has its TCP flags, the meaning of its replies, and its names in
//! scenarios, on the command line and in reports. CONTRIBUTING.md lists what else a new technique needs. A *sensor* has
//! expectations of some techniques only: [`Technique::DERIVED`] and [`Technique::LOGGED`] list them.
//!
//! Source of every fact: the nmap reference guide, "Port scanning techniques", and captures of nmap 7.93.

mod filter_verdict;
mod state;
mod technique;

pub use crate::wire::tcp_flags::{TcpFlags, TcpFlagsError};
pub use filter_verdict::{FilterVerdict, FilterVerdictError};
pub use state::{PortState, Reason, Verdict, interpret, left, no_response};
pub use technique::{Profile, Reset, Sender, Technique};
