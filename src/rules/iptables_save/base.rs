//! The options of iptables itself: commands, and matches without a module (`original_opts` in iptables/xtables.c and
//! iptables/iptables.c).

/// An option of iptables itself, named by its short letter in iptables(8) if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// `-A chain`
    Append,
    /// `-I chain [number]`
    Insert,
    /// `-R chain number`
    Replace,
    /// `-D chain [number]`
    Delete,
    /// `-F [chain]`
    Flush,
    /// `-N chain`
    NewChain,
    /// `-X [chain]`
    DeleteChain,
    /// `-E old new`
    RenameChain,
    /// `-P chain policy`
    Policy,
    /// `-C`, `-L`, `-S`, `-Z`: they change no rule.
    Harmless,
    /// `-s`
    Source,
    /// `-d`
    Destination,
    /// `-p`
    Protocol,
    /// `-i`
    InInterface,
    /// `-o`
    OutInterface,
    /// `-f`
    Fragment,
    /// `-m`
    Module,
    /// `-j`
    Jump,
    /// `-g`
    Goto,
    /// `-c packets bytes`
    Counters,
    /// `-4`
    Ipv4,
    /// `-6`
    Ipv6,
    /// `-v`, `-n`, `-x`, ...: options for printing.
    Flag,
    /// `-t`, `-M`, `-T`: an option with one argument that is not part of a rule.
    Setting,
}

/// Long name, short letter, meaning.
const BASE: &[(&str, char, Base)] = &[
    ("append", 'A', Base::Append),
    ("delete", 'D', Base::Delete),
    ("check", 'C', Base::Harmless),
    ("insert", 'I', Base::Insert),
    ("replace", 'R', Base::Replace),
    ("list", 'L', Base::Harmless),
    ("list-rules", 'S', Base::Harmless),
    ("flush", 'F', Base::Flush),
    ("zero", 'Z', Base::Harmless),
    ("new-chain", 'N', Base::NewChain),
    ("delete-chain", 'X', Base::DeleteChain),
    ("rename-chain", 'E', Base::RenameChain),
    ("policy", 'P', Base::Policy),
    ("source", 's', Base::Source),
    ("destination", 'd', Base::Destination),
    ("src", 's', Base::Source),
    ("dst", 'd', Base::Destination),
    ("protocol", 'p', Base::Protocol),
    ("in-interface", 'i', Base::InInterface),
    ("jump", 'j', Base::Jump),
    ("table", 't', Base::Setting),
    ("match", 'm', Base::Module),
    ("numeric", 'n', Base::Flag),
    ("out-interface", 'o', Base::OutInterface),
    ("verbose", 'v', Base::Flag),
    ("wait", 'w', Base::Flag),
    ("wait-interval", 'W', Base::Setting),
    ("exact", 'x', Base::Flag),
    ("fragment", 'f', Base::Fragment),
    ("fragments", 'f', Base::Fragment),
    ("version", 'V', Base::Flag),
    ("help", 'h', Base::Flag),
    ("line-numbers", '\0', Base::Flag),
    ("modprobe", 'M', Base::Setting),
    ("set-counters", 'c', Base::Counters),
    ("goto", 'g', Base::Goto),
    ("ipv4", '4', Base::Ipv4),
    ("ipv6", '6', Base::Ipv6),
];

impl Base {
    /// The option with this short letter.
    pub fn short(letter: char) -> Option<Base> {
        BASE.iter().find(|(_, short, _)| *short == letter).map(|(_, _, base)| *base)
    }

    /// All long names.
    pub fn long_names() -> impl Iterator<Item = (&'static str, Base)> {
        BASE.iter().map(|(name, _, base)| (*name, *base))
    }

    /// True if an argument may follow the short letter directly (`-ptcp`).
    pub fn takes_argument(self) -> bool {
        !matches!(self, Base::Flag | Base::Fragment | Base::Ipv4 | Base::Ipv6)
    }
}
