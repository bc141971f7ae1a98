//! Tables without lines.

use comfy_table::{ContentArrangement, Table, presets};

/// An empty table, at most `width` columns wide.
pub fn new_table(width: u16) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table
}
