//! Labels of the requests to the API server.

type Label = (&'static str, &'static str);

/// Methods that the operator uses.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
/// Codes of answers that differ in their cause. Any other is `OTHER`.
const CODES: [(u16, &str); 14] = [
    (200, "200"),
    (201, "201"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (409, "409"),
    (410, "410"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];
/// A method or a code that is not in the lists.
const OTHER: &str = "other";
/// There was no answer.
const ERROR: &str = "error";

/// The labels of a request with this method and the code of its answer, as in HTTP. `None`: there was no answer.
pub(super) fn labels(method: &str, code: Option<u16>) -> [Label; 2] {
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER);
    let known = |code: u16| CODES.into_iter().find(|(known, _)| *known == code).map_or(OTHER, |(_, text)| text);
    [("method", method), ("code", code.map_or(ERROR, known))]
}

/// The labels of each of these methods with each code.
pub(super) fn all() -> impl Iterator<Item = [Label; 2]> {
    let codes = || CODES.into_iter().map(|(_, text)| text).chain([OTHER, ERROR]);
    METHODS.into_iter().flat_map(move |method| codes().map(move |code| [("method", method), ("code", code)]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn whatever_is_answered_the_labels_are_from_closed_sets() {
        assert_eq!(labels("GET", Some(410)), [("method", "GET"), ("code", "410")]);
        assert_eq!(labels("PATCH", None), [("method", "PATCH"), ("code", "error")]);
        assert_eq!(labels("get", Some(418)), [("method", "other"), ("code", "other")]);
        let all: BTreeSet<_> = all().collect();
        assert_eq!(all.len(), 80);
        for method in METHODS {
            let seen = (0..u16::MAX).map(Some).chain([None]).map(|code| labels(method, code));
            assert!(seen.into_iter().all(|labels| all.contains(&labels)), "{method}");
        }
    }
}
