//! Rulesets as text: parsed, generated, linted, mutated, admitted, and as sets of packets. Effects of rules are
//! measured in the lab; here rules are evaluated to explain a result, to choose packets to send, and to change rules.

pub mod admission;
pub(crate) mod coverage;
pub mod generate;
pub(crate) mod interface_names;
pub mod iptables_save;
pub mod lint;
pub mod mutant;
pub mod space;
pub mod sweep;
pub mod unsafe_options;
