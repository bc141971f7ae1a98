//! The texts of `--help` and of the manual page that are not options: written once, rendered twice.

/// The texts of a command.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// Its name; "" is `scanlab` itself.
    pub command: &'static str,
    /// Commands that can be pasted.
    pub examples: &'static [Example],
    /// Exit statuses, with their meaning.
    pub statuses: &'static [(&'static str, &'static str)],
    /// Files that it reads or writes and that are not named on the command line.
    pub files: &'static [(&'static str, &'static str)],
    /// Pages of other manuals, such as `nmap(1)`.
    pub see_also: &'static [&'static str],
}

/// A command and its purpose.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The purpose.
    pub purpose: &'static str,
    /// Lines for a shell.
    pub command: &'static str,
}

impl Chapter {
    /// The end of `-h`: the exit statuses.
    pub fn short_ending(&self) -> String {
        let width = self.statuses.iter().map(|(status, _)| status.len()).max().unwrap_or_default();
        let line = |(status, meaning): &(&str, &str)| format!("\n  {status:width$}  {meaning}");
        format!("Exit status:{}", self.statuses.iter().map(line).collect::<String>())
    }

    /// The end of `--help`: examples, then the exit statuses.
    pub fn long_ending(&self) -> String {
        let examples: String = self.examples.iter().map(Example::paragraph).collect();
        format!("Examples:{examples}\n\n{}", self.short_ending())
    }
}

impl Example {
    /// The purpose is indented by two, each line of the command by four; the test of the examples finds them by that.
    fn paragraph(&self) -> String {
        let lines: String = self.command.lines().map(|line| format!("\n    {line}")).collect();
        format!("\n  {}:{lines}", self.purpose)
    }
}
