//! Links of a page, outside of code. The pages are written for GitHub; mdBook builds other names from some of them.

/// Splits a page into text and code, in order: `true` is text in which links count.
fn parts(page: &str) -> Vec<(bool, String)> {
    let mut parts: Vec<(bool, String)> = Vec::new();
    let mut push = |text: bool, part: &str| match parts.last_mut() {
        Some((kind, last)) if *kind == text => last.push_str(part),
        _ => parts.push((text, part.to_owned())),
    };
    let mut fenced = false;
    for line in page.split_inclusive('\n') {
        let fence = line.trim_start().starts_with("```");
        if fenced || fence {
            push(false, line);
            fenced ^= fence;
            continue;
        }
        for (number, part) in line.split_inclusive('`').enumerate() {
            push(number % 2 == 0, part);
        }
    }
    parts
}

/// Replaces the target of each relative link `](target)`, `src="target"` and `srcset="target"`.
pub(super) fn rewrite(page: &str, mut by: impl FnMut(&str) -> String) -> String {
    let mut written = String::new();
    for (text, part) in parts(page) {
        if text {
            written.push_str(&in_text(&part, &mut by));
        } else {
            written.push_str(&part);
        }
    }
    written
}

fn in_text(text: &str, by: &mut impl FnMut(&str) -> String) -> String {
    let mut written = String::new();
    let mut rest = text;
    while let Some((at, open, close)) = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')]
        .into_iter()
        .filter_map(|(open, close)| rest.find(open).map(|at| (at, open, close)))
        .min()
    {
        let (before, after) = rest.split_at(at.saturating_add(open.len()));
        written.push_str(before);
        let Some((target, behind)) = after.split_once(close) else {
            rest = after;
            break;
        };
        let relative = !target.contains("://") && !target.starts_with("mailto:") && !target.starts_with('#');
        written.push_str(&if relative { by(target) } else { target.to_owned() });
        written.push(close);
        rest = behind;
    }
    written + rest
}

/// The relative links of a page, without fragments.
pub(super) fn of(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    rewrite(page, |target| {
        links.push(target.split('#').next().unwrap_or_default().to_owned());
        target.to_owned()
    });
    links
}

/// The first heading.
pub(super) fn title(page: &str) -> Option<&str> {
    page.lines().find_map(|line| line.strip_prefix("# ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code_only() {
        let page = "# One\n[a](b.md#c) `[x](y.md)` [d](../e/)\n```\n[f](g.md)\n```\n[h](https://i) [j](#k)\n<img src=\"l.svg\">\n";
        assert_eq!(of(page), ["b.md", "../e/", "l.svg"]);
        assert_eq!(title(page), Some("One"));
    }

    #[test]
    fn a_page_without_a_change_stays_as_it_is() {
        let page = "a [b\nc](d) `e\n```console\n$ f\n```\ng](";
        assert_eq!(rewrite(page, str::to_owned), page);
        assert_eq!(rewrite("[b\nc](d.md#e)", |target| format!("../{target}")), "[b\nc](../d.md#e)");
    }
}
