//! Rulesets as text: read, generated, linted, mutated, admitted, and as sets of packets. What a rule does is measured in the
//! lab; here a rule is read to explain a result, to choose what to send, and to change it.

pub mod admission;
pub(crate) mod coverage;
pub mod generate;
pub mod iptables_save;
pub mod lint;
pub mod mutant;
pub(crate) mod space;
pub mod sweep;
pub mod unsafe_options;
