//! Splits a long page into screens that a terminal shows whole.

/// Splits a page into parts of at most `rows` rows on a terminal of `width` columns: after a blank line if there is one
/// in the lower half, else before the least indented line there, since it begins a section.
pub fn screens(page: &str, width: usize, rows: usize) -> Vec<String> {
    let mut rest: Vec<&str> = page.lines().collect();
    let mut screens = Vec::new();
    while !rest.is_empty() {
        let fitting = fitting(&rest, width, rows);
        let after = rest.split_off(cut(&rest, fitting));
        screens.push(format!("{}\n", rest.join("\n").trim_end_matches('\n')));
        rest = after;
    }
    screens
}

/// The number of lines that fit, at least one.
fn fitting(lines: &[&str], width: usize, rows: usize) -> usize {
    let taken = lines.iter().scan(0, |taken, line| {
        *taken += line.chars().count().div_ceil(width.max(1)).max(1);
        Some(*taken)
    });
    taken.take_while(|taken| *taken <= rows).count().max(1)
}

fn cut(lines: &[&str], fitting: usize) -> usize {
    if fitting >= lines.len() {
        return lines.len();
    }
    let lower_half = || (fitting / 2 + 1..=fitting).rev();
    let behind_a_blank = lower_half().find(|at| lines[at - 1].is_empty());
    let indent = |at: &usize| lines[*at].len() - lines[*at].trim_start().len();
    behind_a_blank.or_else(|| lower_half().min_by_key(indent)).unwrap_or(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_the_terminal_is_one_screen() {
        assert_eq!(screens("a\n\nb\n", 80, 3), ["a\n\nb\n"]);
        assert_eq!(screens("a\n\nb\n", 80, 2), ["a\n", "b\n"]);
    }

    #[test]
    fn it_is_cut_where_something_ends() {
        assert_eq!(screens("a\nb\n\nc\nd\n", 80, 4), ["a\nb\n", "c\nd\n"]);
        assert_eq!(screens("  a\n  b\n      c\n  d\n      e\n", 80, 4), ["  a\n  b\n      c\n", "  d\n      e\n"]);
        assert_eq!(screens("a\n   b\n   c\n   d\n", 80, 3), ["a\n   b\n   c\n", "   d\n"]);
    }

    #[test]
    fn a_line_that_is_too_wide_takes_more_rows_and_none_is_lost() {
        assert_eq!(screens("0123456789\nb\n", 5, 2), ["0123456789\n", "b\n"]);
        assert_eq!(screens("0123456789\nb\n", 5, 1), ["0123456789\n", "b\n"]);
        let page: String = (0..100).map(|line| format!("{:indent$}{line}\n", "", indent = line % 7)).collect();
        assert_eq!(screens(&page, 80, 22).concat(), page);
        assert!(screens(&page, 80, 22).iter().all(|screen| screen.lines().count() <= 22));
    }
}
