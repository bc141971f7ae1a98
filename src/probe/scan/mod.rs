//! The scan techniques of nmap: the packets of each, and its interpretation of the answer.
//!
//! Pure: this room has no namespaces, rulesets or expectations.
//!
//! # To add a technique
//!
//! Add a variant to [`Technique`], and its row to the table in the same file. Nothing else: its packets, the verdicts,
//! the owner of its log line, and the names in scenarios, on the command line and in reports are all derived from the
//! row. A technique that does not consist of TCP flags needs a [`Protocol`](crate::net::Protocol), which `probe` has to
//! write and `reply` has to parse.
//!
//! A *sensor* has expectations of some techniques only: [`Technique::DERIVED`] and [`Technique::LOGGED`] list them.
//!
//! Source of every fact: the nmap reference guide, "Port scanning techniques", and captures of nmap 7.93.

mod filter_verdict;
mod state;
mod technique;

pub use crate::wire::tcp_flags::{TCP_FLAGS, TcpFlagsError, TcpFlagsOctet, tcp_flag_names};
pub use filter_verdict::{FilterVerdict, FilterVerdictError};
pub use state::{PortState, Reason, Verdict, interpret, left, no_response};
pub use technique::{Profile, Reset, Sender, Technique};
