//! The scan techniques of nmap: what each puts on the wire, and what it makes of the answer.
//!
//! Pure: knows nothing of namespaces, rulesets or expectations. To add a technique, add a variant to
//! [`Technique`], a row to its [`Profile`] table, and let the compiler show the places that have to decide.
//!
//! Source of every fact: the nmap reference guide, "Port scanning techniques", and captures of nmap 7.93.

mod filter_verdict;
mod flags;
mod state;
mod technique;

pub use filter_verdict::{FilterVerdict, FilterVerdictError};
pub use flags::{TcpFlagsError, TcpFlagsOctet};
pub use state::{PortState, Reason, Verdict, interpret, no_response};
pub use technique::{Profile, Technique};
