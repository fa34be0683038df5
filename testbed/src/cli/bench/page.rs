//! The part of a page that the benchmark writes.

use anyhow::{Context as _, Result};

const BEGIN: &str = "<!-- bench -->\n";
const END: &str = "<!-- /bench -->\n";

/// The page with this text between the marks.
pub(super) fn replace(page: &str, text: &str) -> Result<String> {
    let missing = || format!("the page needs the lines {} and {}", BEGIN.trim(), END.trim());
    let (before, rest) = page.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\nthe rest\n");
        let replaced = replace(&page, "new\n").unwrap();
        assert_eq!(replaced, format!("# Title\n\n{BEGIN}\nnew\n\n{END}\nthe rest\n"));
        assert_eq!(replace(&replaced, "new\n").unwrap(), replaced);
        assert!(replace("no marks\n", "new\n").is_err());
    }
}
