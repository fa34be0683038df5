//! `ListSecrets`: filters, order, pages.

use serde_json::{Value, json};

use super::wire::{Wire, name, text, token};
use super::{Broken, Rule, must, rule, same};

const BAD: &[&str] = &["ValidationException", "InvalidParameterException"];

/// Makes three secrets under a prefix: `a`, `b`, `c`, in the order b, a, c.
fn three(w: &Wire) -> Result<String, Broken> {
    let prefix = name();
    w.make_as(&format!("{prefix}/b"), json!({"Description": "Database Password of Finance", "Tags": [{"Key": "team", "Value": "blue"}]}))?;
    w.make_as(
        &format!("{prefix}/a"),
        json!({"Description": "api key", "Tags": [{"Key": "Team", "Value": "Red"}, {"Key": "stage", "Value": "blueprint"}]}),
    )?;
    w.make_as(&format!("{prefix}/c"), json!({}))?;
    Ok(prefix)
}

/// The last letters of the secrets under a prefix that fit more filters.
fn listed(w: &Wire, prefix: &str, more: &[(&str, &[&str])], options: Value) -> Result<String, Broken> {
    let mut filters = vec![json!({"Key": "name", "Values": [prefix]})];
    filters.extend(more.iter().map(|(key, values)| json!({"Key": key, "Values": values})));
    let mut body = json!({"Filters": filters});
    if let (Some(body), Value::Object(options)) = (body.as_object_mut(), options) {
        body.extend(options);
    }
    let answer = w.ok("ListSecrets", body)?;
    let names = answer["SecretList"].as_array().cloned().unwrap_or_default();
    Ok(names.iter().filter_map(|entry| text(entry, "Name").chars().last()).collect())
}

fn sorted(mut letters: String) -> String {
    let mut all: Vec<char> = letters.drain(..).collect();
    all.sort_unstable();
    all.into_iter().collect()
}

fn finds(w: &Wire, more: &[(&str, &[&str])], wanted: &str) -> Result<(), Broken> {
    let prefix = three(w)?;
    same(sorted(listed(w, &prefix, more, json!({}))?), wanted.to_owned())
}

/// Eight characters that no other name ends with.
fn id() -> String {
    token().chars().take(8).collect()
}

/// Whether the all filter finds the secret of this name.
fn all_finds(w: &Wire, pattern: &str, name: &str) -> Result<bool, Broken> {
    let filters = json!([{"Key": "all", "Values": [pattern]}, {"Key": "name", "Values": [name]}]);
    let answer = w.ok("ListSecrets", json!({"Filters": filters}))?;
    Ok(answer["SecretList"].as_array().is_some_and(|found| found.iter().any(|entry| text(entry, "Name") == name)))
}

pub(crate) const RULES: &[Rule] = &[
    rule("the name filter fits the beginning of a name", "M Filter", |w| finds(w, &[], "abc")),
    rule("the name filter knows upper from lower case", "M Filter", |w| {
        let prefix = three(w)?;
        same(listed(w, &prefix.to_uppercase(), &[], json!({}))?, String::new())
    }),
    rule("the tag-key filter fits the beginning of a key, by case", "M Filter", |w| finds(w, &[("tag-key", &["te"])], "b")),
    rule("the tag-value filter fits the beginning of a value, by case", "M Filter", |w| finds(w, &[("tag-value", &["blue"])], "ab")),
    rule("the filters of key and value look at tags apart from each other", "INF from M Filter", |w| {
        finds(w, &[("tag-key", &["Team"]), ("tag-value", &["blueprint"])], "a")
    }),
    rule("the description filter goes by the beginnings of words, in any case", "R-LS test_list_secrets_filtering", |w| {
        finds(w, &[("description", &["finance pass"])], "b")
    }),
    rule("the description filter wants every word", "R-LS test_list_secrets_filtering", |w| {
        finds(w, &[("description", &["database key"])], "")
    }),
    rule("an exclamation mark turns a filter round", "R-LS test_list_secrets_filtering", |w| {
        let prefix = three(w)?;
        let not_a = format!("!{prefix}/a");
        same(sorted(listed(w, &prefix, &[("name", &[&not_a])], json!({}))?), "bc".to_owned())
    }),
    rule("of several values of a filter one has to fit", "M Filter", |w| finds(w, &[("tag-value", &["blueprint", "blue"])], "ab")),
    rule("of several filters all have to fit", "M Filter", |w| finds(w, &[("tag-value", &["blue"]), ("description", &["api"])], "a")),
    rule("the all filter looks at name, description and tags in any case", "M Filter", |w| finds(w, &[("all", &["RED"])], "a")),
    rule("the all filter finds the words between special characters of one kind", "R-MO test_with_all_filter_special_characters", |w| {
        for special in ["/", "_", "+", "=", ".", "@", "-"] {
            let name = ["prod", "AppBeta", &id()].join(special);
            w.make_as(&name, json!({}))?;
            must(all_finds(w, "AppBeta", &name)?, format!("AppBeta does not find {name}"))?;
        }
        Ok(())
    }),
    rule(
        "the all filter does not split a text with special characters of two kinds",
        "R-MO test_with_all_filter_special_characters",
        |w| {
            let name = format!("prod-AppBeta/{}", id());
            w.make_as(&name, json!({}))?;
            must(all_finds(w, "prod", &name)?, "its beginning does not find it")?;
            must(!all_finds(w, "AppBeta", &name)?, "AppBeta finds it")
        },
    ),
    rule("for the all filter the last capital before lower case begins a word", "R-MO test_with_all_filter_special_characters", |w| {
        let (capitals, mixed) = (format!("uat/COMPANY/{}", id()), format!("uat/COMPANYthings/{}", id()));
        w.make_as(&capitals, json!({}))?;
        w.make_as(&mixed, json!({}))?;
        must(all_finds(w, "COMPANY", &capitals)? && !all_finds(w, "COMPANY", &mixed)?, "COMPANY")?;
        must(all_finds(w, "Ythings", &mixed)?, "Ythings")
    }),
    rule("the all filter goes by the beginnings of words", "R-MO test_with_all_filter", |w| {
        let name = format!("Secret{}", id());
        w.make_as(&name, json!({"Description": "Database Things"}))?;
        must(all_finds(w, "sec", &name)? && all_finds(w, "d t", &name)?, "the beginnings do not find it")?;
        must(!all_finds(w, "ret", &name)?, "ret finds it")
    }),
    rule("a special character alone finds nothing", "R-MO test_with_all_filter_special_characters", |w| {
        let name = format!("prod+AppBeta+{}", id());
        w.make_as(&name, json!({}))?;
        must(all_finds(w, "prod", &name)? && !all_finds(w, "+", &name)?, "+ finds it")
    }),
    rule("an unknown filter is refused", "M FilterNameStringType", |w| {
        w.refused_as("ListSecrets", json!({"Filters": [{"Key": "colour", "Values": ["x"]}]}), BAD).map(drop)
    }),
    rule("a filter has at least one value and at most ten", "M FilterValuesStringList", |w| {
        w.refused_as("ListSecrets", json!({"Filters": [{"Key": "name", "Values": []}]}), BAD)?;
        let many = vec!["x"; 11];
        w.refused_as("ListSecrets", json!({"Filters": [{"Key": "name", "Values": many}]}), BAD).map(drop)
    }),
    rule("secrets come by name when asked", "M ListSecrets SortBy", |w| {
        let prefix = three(w)?;
        same(listed(w, &prefix, &[], json!({"SortBy": "name", "SortOrder": "asc"}))?, "abc".to_owned())
    }),
    rule("the order turns round when asked", "M ListSecrets SortOrder", |w| {
        let prefix = three(w)?;
        same(listed(w, &prefix, &[], json!({"SortBy": "name", "SortOrder": "desc"}))?, "cba".to_owned())
    }),
    rule("secrets come by their last change when asked", "M ListSecrets SortBy", |w| {
        let prefix = three(w)?;
        std::thread::sleep(std::time::Duration::from_millis(5));
        w.put(&format!("{prefix}/a"), "new", None)?;
        let letters = listed(w, &prefix, &[], json!({"SortBy": "last-changed-date", "SortOrder": "desc"}))?;
        must(letters.starts_with('a'), letters)
    }),
    rule("an unknown order is refused", "M SortByType", |w| w.refused_as("ListSecrets", json!({"SortBy": "size"}), BAD).map(drop)),
    rule("a page has at most 100 secrets", "M MaxResultsType", |w| {
        w.refused_as("ListSecrets", json!({"MaxResults": 101}), BAD)?;
        w.refused_as("ListSecrets", json!({"MaxResults": 0}), BAD).map(drop)
    }),
    rule("pages together are the whole list", "M ListSecrets NextToken", |w| {
        let prefix = three(w)?;
        let filters = json!([{"Key": "name", "Values": [prefix]}]);
        let mut seen = String::new();
        let mut token = Value::Null;
        for _ in 0..3 {
            let mut body = json!({"Filters": filters, "MaxResults": 1});
            if !token.is_null() {
                body["NextToken"] = token;
            }
            let page = w.ok("ListSecrets", body)?;
            let entries = page["SecretList"].as_array().cloned().unwrap_or_default();
            seen.extend(entries.iter().filter_map(|entry| text(entry, "Name").chars().last()));
            token = page["NextToken"].clone();
        }
        must(token.is_null(), "there is a fourth page")?;
        same(sorted(seen), "abc".to_owned())
    }),
    rule("a page token is text that means nothing", "M NextTokenType", |w| {
        three(w)?;
        let page = w.ok("ListSecrets", json!({"MaxResults": 1}))?;
        let token = page["NextToken"].as_str().ok_or("it is no text")?;
        must(token.parse::<i64>().is_err(), "it is a number")
    }),
    rule("a made-up page token is refused as such", "M InvalidNextTokenException", |w| {
        w.refused_as("ListSecrets", json!({"NextToken": "made-up"}), &["InvalidNextTokenException"]).map(drop)
    }),
    rule("a list leaves out what waits for deletion, unless asked", "M IncludePlannedDeletion", |w| {
        let prefix = three(w)?;
        w.ok("DeleteSecret", json!({"SecretId": format!("{prefix}/a")}))?;
        same(sorted(listed(w, &prefix, &[], json!({}))?), "bc".to_owned())?;
        same(sorted(listed(w, &prefix, &[], json!({"IncludePlannedDeletion": true}))?), "abc".to_owned())
    }),
    rule("an entry has the labels under another name than a description", "M SecretListEntry", |w| {
        let made = w.make()?;
        let answer = w.ok("ListSecrets", json!({"Filters": [{"Key": "name", "Values": [made.name]}]}))?;
        let entry = &answer["SecretList"][0];
        same(&entry["SecretVersionsToStages"], &json!({made.first: ["AWSCURRENT"]}))?;
        must(entry.get("VersionIdsToStages").is_none(), "both are there")
    }),
];
