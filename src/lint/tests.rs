use super::*;

fn manifest(spec: &str) -> String {
    let indented: Vec<String> = spec.lines().map(|line| format!("  {line}")).collect();
    format!("apiVersion: rotated-secrets.io/v1alpha1\nkind: RotatedSecret\nmetadata:\n  name: db\nspec:\n{}\n", indented.join("\n"))
}

/// Line (counted from the first line of the spec), level and message of each finding.
fn found(spec: &str) -> Vec<(usize, Level, String)> {
    let checked = check(&manifest(spec));
    assert_eq!(checked.objects, 1);
    checked.findings.into_iter().map(|finding| (finding.place.line - 5, finding.level, finding.message)).collect()
}

const VALUE: &str = "value: {generate: {password: {}}}\n";

#[test]
fn mistakes_are_found_with_their_line_and_what_to_write() {
    for (spec, line, level, words) in [
        ("rotation: {schedule: 0 8 31 2 *}", 2, Level::Error, "never occurs"),
        ("rotation: {schedule: 0 8 32 * *}", 2, Level::Error, "use days from 1 to 31"),
        ("rotation:\n  schedule: cron(0 8 1 * * *)", 3, Level::Error, "exactly one of day of month and day of week must be ?"),
        ("rotation:\n  schedule: 0 8 1 * *\n  timeZone: Europe/Berlinn", 4, Level::Error, "is not a known time zone"),
        ("rotation:\n  schedule: rate(1 day)\n  duration: 25h", 4, Level::Error, "overlaps the next one"),
        ("rotation:\n  schedule: 0 8 1 * *\n  timezone: Europe/Berlin", 4, Level::Error, "did you mean timeZone?"),
        ("rotation:\n  interval: 30d", 3, Level::Error, "did you mean schedule?"),
        ("aws:\n  deletionpolicy: Delete", 3, Level::Error, "did you mean deletionPolicy?"),
        ("aws:\n  deletionPolicy: delete", 3, Level::Error, "did you mean Delete?"),
        ("target:\n  secretName: x", 3, Level::Error, "did you mean name?"),
        ("target:\n  namespace: x", 3, Level::Error, "create an object in each namespace"),
        ("target:\n  secrets: x", 3, Level::Error, "the fields of spec.target are"),
        ("aws:\n  description: on", 3, Level::Error, "write \"on\" in quotes"),
        ("rotation:\n  automaticallyAfterDays: \"30\"", 3, Level::Error, "write 30 without quotes"),
        ("rotation:\n  automaticallyAfterDays: 30d", 3, Level::Error, "must be a whole number"),
        ("rotation:", 2, Level::Warning, "is empty and therefore ignored"),
        ("rotation: {schedule: rate(30 day)}", 2, Level::Error, "use rate(30 days)"),
        ("rotation: {schedule: rate(1 days)}", 2, Level::Error, "use rate(1 day)"),
        ("rotation: {schedule: 0 9 8-14 * MON}", 2, Level::Warning, "MON#2"),
        ("rotation: {schedule: rate(10 minutes)}", 2, Level::Warning, "less than the default minimum"),
        ("target:\n  keys: {password: DB_PASSWORD}", 3, Level::Warning, "write DB_PASSWORD: password"),
        ("target:\n  versionStage: awsprevious", 3, Level::Error, "did you mean AWSPREVIOUS?"),
    ] {
        let findings = found(&format!("{VALUE}{spec}"));
        assert!(findings.iter().any(|found| (found.0, found.1) == (line, level) && found.2.contains(words)), "{spec}: {findings:#?}");
    }
    for (spec, line, level, words) in [
        ("value:\n  data:\n    enabled: on\n    port: 5432\n    mode: 0644", 3, Level::Error, "write \"on\" in quotes"),
        ("value:\n  data:\n    enabled: on\n    port: 5432\n    mode: 0644", 5, Level::Error, "write \"0644\" in quotes"),
        ("value:\n  generate:\n    password:", 3, Level::Error, "write {} for the defaults"),
        ("value:\n  generated: {}", 2, Level::Error, "did you mean generate?"),
        ("value:\n  plainText: my-own-key", 2, Level::Error, "goes to AWS, never into a generator"),
        ("value:\n  data: {a: b}\nvalue:\n  data: {c: d}", 3, Level::Error, "occurs twice"),
        ("value:\n  data:\n    password: hunter2", 3, Level::Warning, "is readable by everyone"),
        ("value:\n  generate:\n    password:\n      length: 24", 3, Level::Error, "passwordLength"),
        ("value:\n  generate:\n    password:\n      lenght: 24", 4, Level::Error, "did you mean passwordLength?"),
        ("value:\n  generate:\n    key: {type: Bytes, lenght: 24}", 3, Level::Error, "did you mean length?"),
        ("value:\n  generate:\n    password:\n      excludePunctation: true", 4, Level::Error, "did you mean excludePunctuation?"),
    ] {
        let findings = found(spec);
        assert!(findings.iter().any(|found| (found.0, found.1) == (line, level) && found.2.contains(words)), "{spec}: {findings:#?}");
    }
}

#[test]
fn what_is_right_has_no_finding_and_other_kinds_are_left_out() {
    assert_eq!(found(VALUE), []);
    assert_eq!(found(&format!("{VALUE}rotation: {{schedule: \"0 9 * * MON#2\", timeZone: Europe/Berlin, duration: 2h}}")), []);
    assert_eq!(found("aws: {secretName: shared/key}"), []);
    assert_eq!(found("value: {data: {a.b: c}, generate: {tls.key: {type: TlsKeyPair, dnsNames: [a.b]}}}"), []);
    let checked = check("apiVersion: v1\nkind: Secret\nspce: {}\n");
    assert_eq!((checked.objects, checked.findings), (0, Vec::new()));
}

#[test]
fn a_password_of_a_database_comes_from_a_secret_that_is_taken_over() {
    let with = |aws: &str, users: &str| {
        found(&format!(
            "{aws}value: {{data: {{username: app}}, generate: {{password: {{}}}}}}\nrotation:\n  schedule: 0 3 1 * *\n  postgres: {{host: db, database: \
             app{users}}}"
        ))
    };
    for users in ["", ", users: AlternatingUsers, adminRef: {name: admin}"] {
        let findings = with("", users);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!((findings[0].0, findings[0].1), (4, Level::Warning));
        assert!(findings[0].2.contains("spec.aws.adoptionPolicy: IfTagged"), "{findings:#?}");
        assert_eq!(with("aws: {adoptionPolicy: IfTagged}\n", users), []);
    }
    let initial = "value: {data: {username: app}, generate: {password: {}}, initialRef: {secretName: app-db}}";
    assert_eq!(found(&format!("{initial}\nrotation:\n  schedule: 0 3 1 * *\n  postgres: {{host: db, database: app}}")), []);
}

#[test]
fn the_identity_of_an_object_and_the_syntax_of_a_file_are_checked() {
    for (text, words) in [
        (manifest(VALUE).replace("rotated-secrets.io/v1alpha1", "v1"), "use rotated-secrets.io/v1alpha1"),
        (manifest(VALUE).replace("RotatedSecret", "RotatedSecrets"), "use RotatedSecret"),
        (manifest(VALUE).replace("name: db", "name: shop/db"), "metadata.name: use lowercase letters"),
        (manifest(VALUE).replace("name: db", "labels: {}"), "metadata.name: is missing"),
        (manifest(VALUE).replace("spec:", "spce:"), "spec: is missing"),
        (manifest(&format!("{VALUE}rotation:\n\tschedule: x")), "not valid YAML"),
        (manifest(&format!("{VALUE}rotation:\n  schedule: * 8 1 * *")), "not valid YAML"),
        ("a: {{ .Values.x }}\n---\n{{- end }}\n".to_owned(), "helm template"),
    ] {
        let findings = check(&text).findings;
        assert!(findings.iter().any(|finding| finding.message.contains(words)), "{text}: {findings:#?}");
    }
}

#[test]
fn every_mistake_that_the_operator_rejects_is_told_at_once() {
    let spec = "aws:\n  secretName: a b\n  keepVersions: 1\ntarget:\n  labels: {a b: c}\nvalue:\n  generate:\n    one: {length: 24}\n    \
                two: {type: Bytes, passwordLength: 20}\nrotation:\n  schedule: 0 8 31 2 *";
    let findings = found(spec);
    for words in ["spec.aws.secretName", "spec.target.labels", "generate.one", "generate.two", "spec.rotation.schedule"] {
        assert_eq!(findings.iter().filter(|found| found.2.contains(words)).count(), 1, "{words}: {findings:#?}");
    }
}

/// A spec with this many copies of a line.
fn repeated(before: &str, line: impl Fn(usize) -> String, count: usize) -> String {
    (0..count).fold(before.to_owned(), |text, number| text + "\n" + &line(number))
}

#[test]
fn a_hostile_file_has_a_bounded_number_of_findings_of_bounded_length() {
    let unknown = repeated("rotation:", |number| format!("  x{number}: 1"), 50_000);
    let at_the_top = format!("{}{}", manifest(VALUE), repeated("", |number| format!("x{number}: 1"), 50_000));
    let duplicates = repeated(VALUE, |_| "aws: {}".to_owned(), 50_000);
    let empty = repeated("target:\n  labels:", |number| format!("    l{number}:"), 20_000);
    for text in [manifest(&unknown), at_the_top, manifest(&duplicates), manifest(&empty)] {
        let start: String = text.lines().skip(5).take(3).collect();
        let findings = check(&text).findings;
        assert_eq!(findings.len(), 101, "{start}");
        assert!(findings.iter().any(|found| found.level == Level::Error && found.message.contains("only the first 100")), "{start}");
    }
    let items = repeated("aws:\n  replicaRegions:", |_| "  - {region: a, x: 1}".to_owned(), 20_000);
    let findings = check(&manifest(&items)).findings;
    assert!(findings.len() < 100 && findings[0].message.contains("may have at most"), "no item beyond the limit is checked: {findings:#?}");
    let long = "k".repeat(1_000_000);
    let nested = format!("value:\n  generate:\n    ? {long}\n    :\n      ? {long}\n      : 1");
    for spec in [format!("{VALUE}? {long}\n: 1"), nested, format!("{VALUE}target: {{type: {long}}}")] {
        let findings = found(&spec);
        let lengths: Vec<usize> = findings.iter().map(|found| found.2.len()).collect();
        assert!(!lengths.is_empty() && lengths.iter().all(|length| *length < 2_000), "{lengths:?}");
    }
}

#[test]
fn what_an_alias_repeats_counts_by_its_length() {
    let copies = "*a, ".repeat(20);
    let checked = check(&format!("a: &a {}\nb: [{copies}]\n", "x".repeat(1_000_000)));
    assert!(checked.findings.iter().any(|found| found.message.contains("more than 200000 values")), "{:?}", checked.findings);
}

#[test]
fn an_entry_is_found_by_its_place_if_its_key_has_dots() {
    let findings = found("value:\n  generate:\n    a.b:\n      c: 1");
    assert_eq!(findings.iter().map(|found| found.0).collect::<Vec<_>>(), [4], "{findings:#?}");
}
