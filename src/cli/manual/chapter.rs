//! What `--help` and the manual page tell of a command besides its options, as texts: kept here once, rendered twice.

/// What there is to know of a command.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// Its name; "" is `scanlab` itself.
    pub command: &'static str,
    /// Commands to paste.
    pub examples: &'static [Example],
    /// What it ends with, and when.
    pub statuses: &'static [(&'static str, &'static str)],
    /// What it reads or writes beside the files that are named on the command line.
    pub files: &'static [(&'static str, &'static str)],
    /// Pages of other manuals, such as `nmap(1)`.
    pub see_also: &'static [&'static str],
}

/// A command, and what it is good for.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What it is good for.
    pub purpose: &'static str,
    /// Lines for a shell.
    pub command: &'static str,
}

impl Chapter {
    /// The end of `-h`: how it ends.
    pub fn short_ending(&self) -> String {
        let width = self.statuses.iter().map(|(status, _)| status.len()).max().unwrap_or_default();
        let line = |(status, meaning): &(&str, &str)| format!("\n  {status:width$}  {meaning}");
        format!("Exit status:{}", self.statuses.iter().map(line).collect::<String>())
    }

    /// The end of `--help`: examples, then how it ends.
    pub fn long_ending(&self) -> String {
        let examples: String = self.examples.iter().map(Example::paragraph).collect();
        format!("Examples:{examples}\n\n{}", self.short_ending())
    }
}

impl Example {
    /// The purpose is indented by two, each line of the command by four: that is how a reader, or a test, finds them.
    fn paragraph(&self) -> String {
        let lines: String = self.command.lines().map(|line| format!("\n    {line}")).collect();
        format!("\n  {}:{lines}", self.purpose)
    }
}
