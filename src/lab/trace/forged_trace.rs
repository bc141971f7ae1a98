//! The refusal of rules whose log lines look like those of x_tables' trace, or of the lab's own table: they could not
//! be distinguished from the rule trace, and paths would be wrong. Pure.

use super::legacy_trace::{self, TRACE_GROUP};
use super::own_table::{self, Mark};
use crate::error::Result;
use crate::rules::iptables_save::{Listing, Rule};

/// Checks the NFLOG rules.
///
/// # Errors
///
/// For the first one whose lines would look like the trace.
pub fn check(listings: &[Listing]) -> Result<()> {
    for listing in listings {
        if let Some(rule) = listing.rules().find(|rule| forges(rule)) {
            let problem = "the lines of this rule cannot be distinguished from x_tables' own rule trace";
            let hint = "choose another --nflog-prefix or --nflog-group, or use --iptables nft";
            return Err(listing.source.error(rule.span.clone(), problem, hint).into());
        }
    }
    Ok(())
}

fn forges(rule: &Rule) -> bool {
    rule.nflog().is_some_and(|(group, prefix)| match group {
        TRACE_GROUP => legacy_trace::read_line(prefix.as_bytes()).is_some(),
        own_table::LOG_GROUP => Mark::read(prefix.as_bytes()).is_some(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::Family;

    fn is_refused(target: &str) -> bool {
        let text = format!("*filter\n-A INPUT -p tcp -j {target}\nCOMMIT\n");
        let source = Source { name: "rules.v4".into(), text: text.into() };
        check(&[Listing::parse(Family::Ipv4, &source)]).is_err()
    }

    #[test]
    fn only_a_forged_trace_is_refused() {
        assert!(is_refused("NFLOG --nflog-prefix \"TRACE: filter:INPUT:rule:1 \""));
        assert!(is_refused("NFLOG --nflog-group 0x0 --nflog-prefix \"TRACE: nat:X:return:2 \""));
        assert!(!is_refused("NFLOG --nflog-group 1 --nflog-prefix \"TRACE: filter:INPUT:rule:1 \""));
        assert!(!is_refused("NFLOG --nflog-prefix \"TRACE: odd \""));
        assert!(!is_refused("LOG --log-prefix \"TRACE: \""));
        assert!(!is_refused("NFLOG --nflog-group 65101"));
    }
}
