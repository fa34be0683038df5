//! Manifests as newcomers write them, as text: what `kubectl create` says, and what `kubectl rotatedsecret lint` says.

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use testkit::control_plane;

/// What `kubectl create` does with a manifest.
#[derive(Debug, Clone, Copy)]
enum Apply {
    /// It, or the API server, refuses the manifest with these words.
    No(&'static str),
    /// The API server accepts the manifest. Only lint and, if lint has an error of the operator, a condition say that it
    /// is wrong.
    Yes,
}

use Apply::{No, Yes};

/// Name of the mistake, manifest, answer of the API server, and words of lint with its level.
type Row = (&'static str, String, Apply, &'static str);

fn manifest(spec: &str) -> String {
    let indented: Vec<String> = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: rotated-secrets.io/v1alpha1\nkind: RotatedSecret\nmetadata:\n  name: db\nspec:\n{}", indented.concat())
}

/// With a value, and `more` beside it.
fn beside(more: &str) -> String {
    manifest(&format!("value:\n  generate:\n    password: {{}}\n{more}"))
}

fn rotation(lines: &str) -> String {
    let indented: Vec<String> = lines.split("; ").map(|line| format!("  {line}\n")).collect();
    beside(&format!("rotation:\n{}", indented.concat()))
}

fn field(options: &str) -> String {
    manifest(&format!("value:\n  generate:\n    password:\n      {options}"))
}

fn rows() -> Vec<Row> {
    [names(), clocks(), windows(), values(), targets(), aws(), texts()].concat()
}

/// Names of fields and words.
fn names() -> Vec<Row> {
    const UNKNOWN: &str = "strict decoding error: unknown field \"spec.";
    vec![
        (
            "generated",
            manifest("value:\n  generated:\n    password: {}"),
            No(UNKNOWN),
            "error: spec.value.generated: is not a field of this version; did you mean generate?",
        ),
        (
            "interval",
            rotation("interval: 30d"),
            No(UNKNOWN),
            "error: spec.rotation.interval: is not a field of this version; did you mean schedule?",
        ),
        ("cron", rotation("cron: 0 8 1 * *"), No(UNKNOWN), "did you mean schedule?"),
        ("secretName of the target", beside("target: {secretName: db}"), No(UNKNOWN), "did you mean name?"),
        ("namespace of the target", beside("target: {namespace: other}"), No(UNKNOWN), "spec.target.namespace"),
        ("timezone", rotation("schedule: 0 8 1 * *; timezone: Europe/Berlin"), No(UNKNOWN), "did you mean timeZone?"),
        ("deletionpolicy", beside("aws: {deletionpolicy: Delete}"), No(UNKNOWN), "did you mean deletionPolicy?"),
        ("excludePunctation", field("excludePunctation: true"), No(UNKNOWN), "did you mean excludePunctuation?"),
        ("secretName at the top", beside("secretName: db"), No(UNKNOWN), "spec.secretName"),
        ("schedule at the top", beside("schedule: rate(30 days)"), No(UNKNOWN), "spec.schedule"),
        ("a field of the value itself", manifest("value:\n  password: {}"), No(UNKNOWN), "spec.value.password"),
        ("a template", beside("target: {template: {metadata: {}}}"), No("must be of type string"), "spec.target.template"),
        ("type in small letters", field("type: password"), No("supported values: \"Password\""), "did you mean Password?"),
        ("a type of another tool", field("type: Random"), No("supported values: \"Password\""), "spec.value.generate.password.type"),
        (
            "delete in small letters",
            beside("aws: {deletionPolicy: delete}"),
            No("supported values: \"Retain\", \"Delete\""),
            "did you mean Delete?",
        ),
        ("opaque in small letters", beside("target: {type: opaque}"), No("supported values: \"Opaque\""), "did you mean Opaque?"),
        (
            "Orphan",
            beside("target: {deletionPolicy: Orphan}"),
            No("supported values: \"Delete\", \"Retain\""),
            "spec.target.deletionPolicy",
        ),
        (
            "a missed window that is skipped",
            rotation("schedule: rate(1 day); onMissedWindow: Skip"),
            No("supported values: \"RotateNow\", \"NextWindow\""),
            "spec.rotation.onMissedWindow",
        ),
    ]
}

fn clocks() -> Vec<Row> {
    const FORMS: &str = "spec.rotation.schedule: use rate(30 days), cron(0 8 1 * ? *)";
    const SCHEDULE: &str = "error: spec.rotation.schedule: ";
    let schedule = |text: &str| rotation(&format!("schedule: \"{text}\""));
    vec![
        ("30d", schedule("30d"), No(FORMS), SCHEDULE),
        ("@monthly", schedule("@monthly"), No(FORMS), SCHEDULE),
        ("a rate of months", schedule("rate(1 month)"), No(FORMS), SCHEDULE),
        ("six fields", schedule("0 0 8 1 * *"), No(FORMS), SCHEDULE),
        ("a zone before the fields", schedule("TZ=Europe/Berlin 0 8 1 * *"), No(FORMS), SCHEDULE),
        ("five fields in cron( )", schedule("cron(0 8 1 * *)"), No(FORMS), SCHEDULE),
        ("an empty schedule", schedule(""), No("at least 1 chars"), "spec.rotation.schedule"),
        ("a rate of three years", schedule("rate(1095 days)"), No("a rate must be more than 0 and at most 999 days"), SCHEDULE),
        ("a number with a unit of one", schedule("rate(30 day)"), No("in rate( ) the unit is singular for 1"), "use rate(30 days)"),
        ("one with a unit of many", schedule("rate(1 days)"), No("in rate( ) the unit is singular for 1"), "use rate(1 day)"),
        ("day 32", schedule("0 8 32 * *"), No("day of month (1-31"), "use days from 1 to 31"),
        ("hour 24", schedule("0 24 1 * *"), No("hour (0-23)"), "use hours from 0 to 23"),
        ("a month that is none", schedule("0 8 1 13 *"), No("month (1-12 or JAN-DEC)"), "use months from 1 to 12"),
        ("a weekday in full", schedule("0 8 * * Monday"), No("day of week (0-7 or SUN-SAT"), "use days from 0 (Sunday)"),
        ("31 February", schedule("0 8 31 2 *"), No("the schedule never occurs"), "the schedule never occurs"),
        ("31 April and June", schedule("0 8 31 APR,JUN *"), No("the schedule never occurs"), "the schedule never occurs"),
        ("30 February of AWS", schedule("cron(0 8 30 2 ? *)"), No("the schedule never occurs"), "the schedule never occurs"),
        ("31 February by a step", schedule("0 8 31 2-6/2 *"), Yes, "the schedule never occurs"),
        (
            "no question mark",
            schedule("cron(0 8 1 * * *)"),
            No("exactly one of the two days must be ?"),
            "exactly one of day of month and day of week must be ?",
        ),
        ("half past in cron( )", schedule("cron(30 8 1 * ? *)"), No("in cron( ) AWS accepts minute 0"), "AWS rotates on the hour"),
        ("a year", schedule("cron(0 8 1 1 ? 2027)"), No("year *"), SCHEDULE),
        (
            "days that are either",
            schedule("0 9 8-14 * MON"),
            Yes,
            "warning: spec.rotation.schedule: day of month and day of week are both set",
        ),
        ("30d as a number of days", rotation("automaticallyAfterDays: 30d"), No("must be of type integer"), "must be a whole number"),
        ("days in quotes", rotation("automaticallyAfterDays: \"30\""), No("must be of type integer"), "write 30 without quotes"),
        (
            "both schedules",
            rotation("schedule: rate(30 days); automaticallyAfterDays: 30"),
            No("exactly one of schedule or automaticallyAfterDays"),
            "error: spec.rotation: set exactly one",
        ),
        (
            "a zone that is misspelled",
            rotation("schedule: 0 8 1 * *; timeZone: Europe/Berlinn"),
            No("this is not a known time zone"),
            "is not a known time zone",
        ),
        (
            "a zone with an offset",
            rotation("schedule: 0 8 1 * *; timeZone: UTC+2"),
            No("this is not a known time zone"),
            "is not a known time zone",
        ),
        (
            "a zone with a rate",
            rotation("schedule: rate(30 days); timeZone: Europe/Berlin"),
            No("requires a five-field cron expression"),
            "spec.rotation.timeZone",
        ),
    ]
}

fn windows() -> Vec<Row> {
    const FORM: &str = "(a day is 24h)";
    let period = |period: &str| rotation(&format!("schedule: rate(30 days); excludePeriods: [{period}]"));
    vec![
        ("a window of 2d", rotation("schedule: rate(30 days); duration: 2d"), No(FORM), "spec.rotation.duration"),
        ("a window of 8 hours", rotation("schedule: rate(30 days); duration: 8 hours"), No(FORM), "spec.rotation.duration"),
        ("25h daily", rotation("schedule: 0 8 * * *; duration: 25h"), No("the window overlaps the next one"), "overlaps the next one"),
        (
            "25h daily, of AWS",
            rotation("schedule: cron(0 8 * * ? *); duration: 25h"),
            No("the window overlaps the next one"),
            "overlaps the next one",
        ),
        (
            "eight days each week",
            rotation("schedule: 0 8 * * MON; duration: 192h"),
            No("the window overlaps the next one"),
            "overlaps the next one",
        ),
        (
            "two hours each hour",
            rotation("schedule: rate(1 hour); duration: 2h"),
            No("the window overlaps the next one"),
            "overlaps the next one",
        ),
        ("two hours each hour, by cron", rotation("schedule: 0 * * * *; duration: 2h"), Yes, "overlaps the next one"),
        (
            "24h daily where clocks change",
            rotation("schedule: 0 8 * * *; timeZone: Europe/Berlin; duration: 24h"),
            Yes,
            "overlaps the next one",
        ),
        (
            "a strict window without one",
            rotation("schedule: rate(30 days); onMissedWindow: NextWindow"),
            No("a duration of at least 5m"),
            "error: spec.rotation.duration",
        ),
        ("a freeze in words", period("{from: christmas, to: 2027-01-06}"), No("must be of type date"), "write year, month and day"),
        (
            "a freeze backwards",
            period("{from: 2027-01-06, to: 2026-12-20}"),
            No("from is the first and to the last day"),
            "spec.rotation.excludePeriods",
        ),
        ("a freeze as one text", period("2026-12-20/2027-01-06"), No("must be of type object"), "must be an object"),
        (
            "ten minutes between rotations",
            rotation("schedule: rate(10 minutes)"),
            Yes,
            "warning: spec.rotation.schedule: 10m between two rotations",
        ),
        ("an empty rotation", beside("rotation:"), Yes, "warning: spec.rotation: is empty and therefore ignored"),
        (
            "a rotation of nothing",
            manifest("rotation: {schedule: rate(30 days)}"),
            No("spec.rotation requires spec.value"),
            "error: spec.rotation requires spec.value",
        ),
        (
            "a rotation of a fixed value",
            manifest("value: {data: {a: b}}\nrotation: {schedule: rate(30 days)}"),
            No("requires a generated field"),
            "requires a generated field",
        ),
    ]
}

fn values() -> Vec<Row> {
    vec![
        ("the length of a password", field("length: 24"), No("(the length of a password is passwordLength)"), "passwordLength"),
        ("the length in quotes", field("passwordLength: \"24\""), No("must be of type integer"), "write 24 without quotes"),
        ("a short password", field("passwordLength: 8"), No("less than 64 bits of entropy"), "error: spec.value.generate.password"),
        ("a switch in data", manifest("value: {data: {enabled: on}}"), No("must be of type string"), "write \"on\" in quotes"),
        ("a port in data", manifest("value: {data: {port: 5432}}"), No("must be of type string"), "write \"5432\" in quotes"),
        ("a mode in data", manifest("value: {data: {mode: 0644}}"), No("must be of type string"), "write \"0644\" in quotes"),
        (
            "a password in data",
            manifest("value: {data: {password: hunter2}}"),
            Yes,
            "warning: spec.value.data.password: is readable by everyone",
        ),
        (
            "a value of one's own",
            manifest("value: {plainText: my-own-key}"),
            No("must be of type object"),
            "goes to AWS, never into a generator",
        ),
        ("a generator that is a word", manifest("value: {generate: password}"), No("must be of type object"), "must be an object"),
        ("generators as a list", manifest("value:\n  generate: [password]"), No("must be of type object"), "must be an object, not a list"),
        (
            "a generator without braces",
            manifest("value:\n  generate:\n    password:"),
            No("at least one field in data or generate"),
            "write {} for the defaults",
        ),
        (
            "a field twice",
            manifest("value: {generate: {username: {}}, data: {username: a}}"),
            No("both data (fixed) and generate (generated)"),
            "both data (fixed) and generate",
        ),
        (
            "plain text beside fields",
            manifest("value: {plainText: {}, data: {a: b}}"),
            No("either plainText alone"),
            "either plainText alone",
        ),
        ("a name with a space", manifest("value: {data: {user name: a}}"), No("field names may contain only letters"), "field names"),
        ("nothing to hold", manifest("value: {}"), No("at least one field in data or generate"), "at least one field"),
        ("a certificate without a name", field("type: TlsKeyPair"), No("a certificate requires a name"), "spec.value.generate.password"),
        ("one name instead of a list", field("{type: TlsKeyPair, dnsNames: a.example.org}"), No("must be of type array"), "must be a list"),
        ("a URL as a name", field("{type: TlsKeyPair, dnsNames: [\"https://a.example\"]}"), No("should match"), "does not match"),
        (
            "a certificate that expires first",
            manifest("value: {generate: {tls: {type: TlsKeyPair, commonName: a, validityDays: 30}}}\nrotation: {schedule: rate(30 days)}"),
            No("a certificate must be valid for longer"),
            "validityDays",
        ),
        ("a bare key pair", manifest("value: {plainText: {type: SshKeyPair}}"), No("does not support key pairs"), "plainText"),
    ]
}

fn targets() -> Vec<Row> {
    vec![
        ("a name of nothing", beside("target: {name: \"\"}"), No("at least 1 chars"), "spec.target.name"),
        ("a name in capitals", beside("target: {name: DB}"), No("lowercase letters, digits"), "spec.target.name"),
        (
            "keys the wrong way round",
            beside("target: {keys: {password: DB_PASSWORD}}"),
            Yes,
            "warning: spec.target.keys.password: spec.value declares no field DB_PASSWORD (it declares password)",
        ),
        (
            "a field that is not declared",
            beside("target: {keys: {USER: username}}"),
            Yes,
            "warning: spec.target.keys.USER: spec.value declares no field username",
        ),
        (
            "a TLS Secret of a password",
            beside("target: {type: kubernetes.io/tls}"),
            Yes,
            "warning: spec.target.type: a Secret of this type needs the key tls.crt",
        ),
        ("keys of a plain text", manifest("value: {plainText: {}}\ntarget: {keys: {a: b}}"), Yes, "a plain text has no fields"),
        (
            "a label as a version",
            beside("target: {versionId: AWSPREVIOUS}"),
            No("for a staging label such as AWSPREVIOUS use versionStage"),
            "use versionStage",
        ),
        (
            "half a version ID",
            beside("target: {versionId: 3e0c7d7e}"),
            No("use a whole version ID of 32 to 64 characters"),
            "use a whole version ID",
        ),
        (
            "a label in small letters",
            beside("target: {versionStage: awsprevious}"),
            No("did you mean AWSCURRENT or AWSPREVIOUS?"),
            "did you mean AWSPREVIOUS?",
        ),
        ("a reserved label", beside("target: {labels: {app.kubernetes.io/managed-by: helm}}"), No("are reserved"), "are reserved"),
    ]
}

fn aws() -> Vec<Row> {
    vec![
        ("a region in words", beside("aws: {region: Frankfurt}"), No("should match"), "spec.aws.region"),
        (
            "an availability zone",
            beside("aws: {region: eu-central-1a}"),
            No("this is an availability zone"),
            "this is an availability zone",
        ),
        (
            "a name with a space",
            beside("aws: {secretName: my secret}"),
            No("may contain only letters, digits and /"),
            "spec.aws.secretName",
        ),
        (
            "tags as a list",
            beside("aws: {tags: [{Key: a, Value: b}]}"),
            No("unknown field \"spec.aws.tags[0].Key\""),
            "must be an object, not a list",
        ),
        ("a tag that is a number", beside("aws: {tags: {cost-center: 1234}}"), No("must be of type string"), "write \"1234\" in quotes"),
        ("a recovery window of none", beside("aws: {recoveryWindowInDays: 0}"), No("greater than or equal to 7"), "use 7 or more"),
        ("one version to keep", beside("aws: {keepVersions: 1}"), No("3 or more"), "3 or more"),
        ("a policy as text", beside("aws: {resourcePolicy: \"{}\"}"), No("must be of type object"), "must be an object"),
        (
            "a function by its name",
            manifest("rotation: {schedule: rate(30 days), lambda: {functionArn: rotate-db}}"),
            No("functionArn"),
            "functionArn",
        ),
        (
            "five fields for AWS",
            manifest("rotation: {schedule: 0 8 1 * *, lambda: {functionArn: \"arn:aws:lambda:eu-central-1:123456789012:function:f\"}}"),
            No("with lambda, AWS runs the schedule"),
            "spec.rotation.schedule",
        ),
        ("a word for a switch", beside("suspend: \"yes\""), No("must be of type boolean"), "must be true or false without quotes"),
    ]
}

/// What kubectl or YAML finds, and what is outside of the spec.
fn texts() -> Vec<Row> {
    let valid = || beside("");
    vec![
        ("a tab", beside("rotation:\n\tschedule: x"), No("yaml: "), "not valid YAML"),
        ("a star without quotes", rotation("schedule: * 8 1 * *"), No("yaml: "), "not valid YAML"),
        ("a key twice", manifest("value: {generate: {a: {}}}\nvalue: {data: {b: c}}"), Yes, "occurs twice"),
        ("a template of helm", beside("target: {name: {{ .Values.name }}}"), No("yaml: "), "helm template"),
        (
            "the version of the core",
            valid().replace("rotated-secrets.io/v1alpha1", "v1"),
            No("no matches for kind"),
            "use rotated-secrets.io/v1alpha1",
        ),
        ("another version", valid().replace("v1alpha1", "v1"), No("no matches for kind"), "use rotated-secrets.io/v1alpha1"),
        ("the plural", valid().replace("kind: RotatedSecret", "kind: RotatedSecrets"), No("no matches for kind"), "use RotatedSecret"),
        ("a name with the namespace", valid().replace("name: db", "name: shop/db"), No("shop/db"), "metadata.name"),
        ("no name", valid().replace("name: db", "labels: {}"), No("name"), "metadata.name: is missing"),
        (
            "a name of 210 characters",
            valid().replace("name: db", &format!("name: {}", "a".repeat(210))),
            No("metadata.name must have at most 200"),
            "at most 200",
        ),
        ("a spec that is misspelled", valid().replace("spec:", "spce:"), No("unknown field \"spce\""), "spec: is missing"),
    ]
}

/// The answer of kubectl, as a user runs it.
async fn created(number: usize, manifest: &str, namespace: &str) -> Result<(bool, String)> {
    let cluster = control_plane().await?;
    let file = cluster.dir().join(format!("newcomer-{number}.yaml"));
    std::fs::write(&file, manifest)?;
    let mut kubectl = tokio::process::Command::new(cluster.kubectl());
    kubectl.arg("--kubeconfig").arg(cluster.kubeconfig()).args(["create", "--dry-run=server", "-n", namespace, "-f"]).arg(&file);
    let ended = kubectl.output().await.context("kubectl")?;
    Ok((ended.status.success(), format!("{}{}", String::from_utf8(ended.stdout)?, String::from_utf8(ended.stderr)?)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mistakes_of_newcomers_are_refused_where_the_table_says() -> Result<()> {
    let namespace = control_plane().await?.namespace("newcomers").await?;
    let rows = rows();
    let answers = rows.iter().enumerate().map(|(number, (_, manifest, ..))| created(number, manifest, &namespace));
    let answers: Vec<Result<(bool, String)>> = futures::stream::iter(answers).buffered(4).collect().await;
    let mut wrong = Vec::new();
    for ((what, _, apply, _), answer) in rows.iter().zip(answers) {
        let (accepted, said) = answer?;
        let expected = match apply {
            Yes => accepted,
            No(words) => !accepted && said.contains(words),
        };
        if !expected {
            wrong.push(format!("{what}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn lint_finds_every_mistake_of_newcomers_and_says_what_to_write() -> Result<()> {
    let mut wrong = Vec::new();
    let dir = tempfile::tempdir()?;
    let rows = rows();
    assert!(rows.len() >= 73, "{}", rows.len());
    for (what, manifest, apply, words) in rows {
        let file = dir.path().join("manifest.yaml");
        std::fs::write(&file, manifest)?;
        let mut lint = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-rotatedsecret"));
        let ended = lint.arg("lint").arg(&file).output().context("lint")?;
        let out = String::from_utf8(ended.stdout)?;
        let failed = ended.status.code() == Some(1);
        let warned = words.starts_with("warning: ");
        // What the API server refuses is an error.
        if !out.contains(words) || failed == warned || (warned && !matches!(apply, Yes)) {
            wrong.push(format!("{what}: {out}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
