//! `--shard 1/4`: a part of the scenarios, for one job of a CI matrix.

use std::fmt;
use std::str::FromStr;

/// One part of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    part: usize,
    parts: usize,
}

impl Shard {
    /// Every n-th item, in order, so that neighbours, which tend to have similar run times, are spread over the shards.
    /// Each item is in exactly one shard.
    pub fn of<T>(self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip(self.part - 1).step_by(self.parts).collect()
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let parsed = text.split_once('/').and_then(|(part, parts)| Some((number(part)?, number(parts)?)));
        match parsed {
            Some((part, parts)) if (1..=parts).contains(&part) => Ok(Shard { part, parts }),
            Some((part, parts)) if parts > 0 => {
                Err(format!("there is no shard {part} of {parts}: shards are 1 to {parts}"))
            }
            _ => Err("write PART/PARTS, such as 1/4 for the first of four".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_shard_and_in_no_other() {
        for parts in 1..=9 {
            let shard = |part| format!("{part}/{parts}").parse::<Shard>().unwrap().of((0..7).collect::<Vec<_>>());
            let mut all: Vec<i32> = (1..=parts).flat_map(shard).collect();
            all.sort_unstable();
            assert_eq!(all, (0..7).collect::<Vec<_>>(), "{parts} shards");
        }
        assert_eq!("2/3".parse::<Shard>().unwrap().of(vec!['a', 'b', 'c', 'd', 'e']), ['b', 'e']);
    }

    #[test]
    fn a_malformed_shard_is_refused() {
        for text in ["", "1", "0/4", "5/4", "0/0", "1/0", "+1/4", "-1/4", "1/4/4", "a/b", "1 / 4"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
