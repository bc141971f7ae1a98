//! The scan techniques of nmap: what each puts on the wire, and what it makes of the answer.
//!
//! Pure: knows nothing of namespaces, rulesets or expectations.
//!
//! # To add a technique
//!
//! Add a variant to [`Technique`], and its row to the table in the same file. Nothing else: its packets, the verdicts, whose
//! log line it is, the names in scenarios, on the command line and in reports are all made from the row. Techniques that
//! are not made of TCP flags need a [`Protocol`](crate::net::Protocol), which `probe` and `reply` must know how to write
//! and to read.
//!
//! What a *sensor* expects of a technique is another matter: [`Technique::DERIVED`] and [`Technique::LOGGED`] list the
//! techniques that it has an opinion about.
//!
//! Source of every fact: the nmap reference guide, "Port scanning techniques", and captures of nmap 7.93.

mod filter_verdict;
mod state;
mod technique;

pub use crate::wire::tcp_flags::{TCP_FLAGS, TcpFlagsError, TcpFlagsOctet, tcp_flag_names};
pub use filter_verdict::{FilterVerdict, FilterVerdictError};
pub use state::{PortState, Reason, Verdict, interpret, left, no_response};
pub use technique::{Profile, Reset, Sender, Technique};
