//! Values made of tables: what a rotation renews and what it leaves, and what arrives in a Secret.

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::*;
use crate::api::SecretType::{self, BasicAuth, DockerConfigJson, Opaque, SshAuth, Tls};
use crate::generate::PasswordRules;
use crate::plaintext::SecretBytes;

/// Stands for a secret: it must be in no message.
const CANARY: &str = "canary-6f1d";

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn rng() -> StdRng {
    StdRng::seed_from_u64(42)
}

fn layout(kind: SecretType, keys: &[(&str, &str)]) -> Layout {
    Layout { kind, keys: map(keys), ..Layout::default() }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn fields(data: &[(&str, &str)], generate: &[&str]) -> DeclaredValue {
    let generate = generate.iter().map(|name| ((*name).to_owned(), Generator::default())).collect();
    DeclaredValue::Fields { data: map(data), generate, turns: None }
}

fn text(value: impl Into<String>) -> Payload {
    Payload::Text(Plaintext::from(value.into()))
}

fn json_text(value: &Value) -> Payload {
    text(value.to_string())
}

fn binary(bytes: &[u8]) -> Payload {
    Payload::Binary(SecretBytes::from(bytes.to_vec()))
}

/// What is composed, as text. Passwords of tests are no secrets.
fn composed(declared: &DeclaredValue, before: Option<&Payload>, fresh: bool, dropped: &[&str]) -> String {
    let dropped: Vec<String> = dropped.iter().map(|name| (*name).to_owned()).collect();
    declared.compose(before, fresh, Former { fields: &dropped, fixed: &[] }, &mut rng(), NOW).ok().unwrap().expose().to_owned()
}

fn object(declared: &DeclaredValue, before: Option<&Payload>, fresh: bool, dropped: &[&str]) -> Map<String, Value> {
    serde_json::from_str(&composed(declared, before, fresh, dropped)).unwrap()
}

fn is_password(value: &Value) -> bool {
    value.as_str().is_some_and(|password| password.len() == 32)
}

#[test]
fn the_first_value_has_the_fixed_fields_and_a_password_of_its_own_in_each_generated_one() {
    let made = object(&fields(&[("username", "admin"), ("host", "db")], &["password", "token"]), None, true, &[]);
    assert_eq!(made.keys().collect::<Vec<_>>(), ["host", "password", "token", "username"]);
    assert_eq!((&made["username"], &made["host"]), (&json!("admin"), &json!("db")));
    assert!(is_password(&made["password"]) && is_password(&made["token"]));
    assert_ne!(made["password"], made["token"]);
}

#[test]
fn a_rotation_renews_each_generated_field_and_carries_every_other_one_along() {
    let before = json!({
        "username": "edited in AWS", "password": "old", "token": "old",
        "port": 5432, "ratio": 0.5, "big": 18_446_744_073_709_551_615_u64, "nothing": null, "on": true,
        "replicas": [{"host": "a"}, {"host": "b"}], "nested": {"deep": {"er": ["x", 1]}}, "": "no name",
    });
    let made = object(&fields(&[("username", "admin")], &["password", "token"]), Some(&json_text(&before)), true, &[]);
    for name in ["password", "token"] {
        assert!(is_password(&made[name]), "{name} is new");
    }
    assert_eq!(made["username"], "admin", "a fixed field is as declared");
    for name in ["port", "ratio", "big", "nothing", "on", "replicas", "nested", ""] {
        assert_eq!(made[name], before[name], "{name}");
    }
    assert_eq!(made.len(), before.as_object().unwrap().len());
}

#[test]
fn a_rotation_carries_along_foreign_numbers_of_any_size_digit_by_digit() {
    let numbers = ["1e400", "123456789012345678901234567890", "0.1000000000000000055511151231257827"];
    let kept = |number: &&str| {
        let before = text(format!(r#"{{"foreign":"kept","number":{number}}}"#));
        let made = composed(&fields(&[], &["password"]), Some(&before), true, &[]);
        made.contains(r#""foreign":"kept""#) && made.contains(&format!(r#""number":{number}"#))
    };
    let lost: Vec<_> = numbers.into_iter().filter(|number| !kept(number)).collect();
    assert_eq!(lost, [""; 0]);
}

#[test]
fn a_changed_declaration_keeps_every_other_field_and_generates_only_what_is_not_there() {
    let before = json_text(&json!({"username": "admin", "password": "kept", "foreign": {"a": 1}}));
    let made = object(&fields(&[("username", "root"), ("host", "db")], &["password", "token"]), Some(&before), false, &[]);
    assert!(is_password(&made["token"]));
    let rest: Map<String, Value> = made.into_iter().filter(|(name, _)| name != "token").collect();
    assert_eq!(Value::Object(rest), json!({"username": "root", "host": "db", "password": "kept", "foreign": {"a": 1}}));
}

#[test]
fn a_field_goes_when_it_was_declared_and_is_not_any_more_and_a_foreign_one_stays() {
    let before = json_text(&json!({"username": "admin", "host": "db", "password": "kept", "token": "gone", "foreign": "stays"}));
    let declared = fields(&[("username", "admin")], &["password"]);
    for fresh in [false, true] {
        let made = object(&declared, Some(&before), fresh, &["username", "password", "host", "token", "never there"]);
        assert_eq!(made.keys().collect::<Vec<_>>(), ["foreign", "password", "username"], "fresh: {fresh}");
        assert_eq!(is_password(&made["password"]), fresh, "a declared field is never dropped, even when the list names it");
    }
}

#[test]
fn a_predecessor_that_is_no_object_leaves_nothing_behind() {
    let declared = fields(&[("username", "admin")], &["password"]);
    let before =
        ["", "plain", "[1,2]", "\"text\"", "7", "null", "{\"cut\":"].map(text).into_iter().chain([binary(b"{\"a\":"), binary(b"\xff")]);
    for before in before {
        let made = object(&declared, Some(&before), false, &[]);
        assert_eq!(made.keys().collect::<Vec<_>>(), ["password", "username"]);
    }
}

#[test]
fn a_plain_text_is_new_at_a_rotation_and_kept_by_a_changed_declaration() {
    let declared = DeclaredValue::PlainText(Generator::Password(PasswordRules { length: 20, ..PasswordRules::default() }));
    assert_eq!(composed(&declared, Some(&text("kept")), false, &[]), "kept");
    for (before, fresh) in [
        (None, true),
        (None, false),
        (Some(text(r#"{"was":"fields"}"#)), false),
        (Some(text("old")), true),
        (Some(binary(b"old")), true),
        (Some(binary(b"old")), false),
    ] {
        assert_eq!(composed(&declared, before.as_ref(), fresh, &[]).len(), 20, "fresh: {fresh}");
    }
}

#[test]
fn a_value_may_be_as_large_as_aws_holds_and_not_a_byte_larger() {
    assert_eq!(LARGEST_VALUE, 65_536);
    let frame = r#"{"a":""}"#.len();
    let of = |bytes: usize| fields(&[("a", &"x".repeat(bytes - frame))], &[]).compose(None, true, Former::default(), &mut rng(), NOW);
    assert_eq!(of(65_536).ok().unwrap().len(), 65_536);
    assert_eq!(of(65_537).err(), Some(ComposeError::TooLarge));
    // Bytes, not characters.
    let wide = fields(&[("a", &"é".repeat((65_536 - frame) / 2 + 1))], &[]);
    assert_eq!(wide.compose(None, true, Former::default(), &mut rng(), NOW).err(), Some(ComposeError::TooLarge));
    let carried = json_text(&json!({"foreign": "x".repeat(65_500)}));
    assert_eq!(
        fields(&[], &["password"]).compose(Some(&carried), true, Former::default(), &mut rng(), NOW).err(),
        Some(ComposeError::TooLarge)
    );
}

#[test]
fn a_value_fits_when_every_declared_field_is_there_and_the_fixed_ones_are_as_declared() {
    let both = fields(&[("username", "admin")], &["password"]);
    let plain = DeclaredValue::PlainText(Generator::default());
    let table = [
        (&both, json_text(&json!({"username": "admin", "password": "p"})), true),
        (&both, json_text(&json!({"username": "admin", "password": "p", "foreign": 1})), true),
        (&both, json_text(&json!({"username": "admin", "password": 7})), true),
        (&both, json_text(&json!({"username": "root", "password": "p"})), false),
        (&both, json_text(&json!({"username": ["admin"], "password": "p"})), false),
        (&both, json_text(&json!({"username": "admin"})), false),
        (&both, json_text(&json!({"password": "p"})), false),
        (&both, text("admin"), false),
        (&both, binary(br#"{"username":"admin","password":"p"}"#), true),
        (&both, binary(br#"{"username":"admin"}"#), false),
        (&both, binary(b"\xff"), false),
        (&fields(&[], &["password"]), json_text(&json!({"password": "p"})), true),
        (&fields(&[("username", "admin")], &[]), json_text(&json!({"username": "admin"})), true),
        (&plain, text("anything"), true),
        (&plain, binary(b"anything"), false),
    ];
    for (row, (declared, value, fits)) in table.iter().enumerate() {
        assert_eq!(declared.matches(value), *fits, "row {row}");
    }
}

#[test]
fn what_is_composed_fits_its_own_declaration() {
    let before = json_text(&json!({"username": 7, "foreign": 1}));
    for declared in [fields(&[("username", "admin")], &["password"]), DeclaredValue::PlainText(Generator::default())] {
        for before in [None, Some(&before)] {
            assert!(declared.matches(&text(composed(&declared, before, true, &[]))));
        }
    }
}

#[test]
fn the_hash_follows_the_fixed_fields_and_the_names_of_the_generated_ones_and_nothing_else() {
    let distinct = [
        fields(&[("username", "admin")], &["password"]),
        fields(&[("username", "root")], &["password"]),
        fields(&[("user", "admin")], &["password"]),
        fields(&[("username", "admin"), ("password", "")], &[]),
        fields(&[("username", "admin")], &[]),
        fields(&[("username", "admin")], &["password", "token"]),
        fields(&[("username", "admin")], &["passphrase"]),
        fields(&[], &["password", "username"]),
        fields(&[], &["password,username"]),
        fields(&[("a", "b\",\"c\":\"d")], &[]),
        fields(&[("a", "b"), ("c", "d")], &[]),
        DeclaredValue::PlainText(Generator::default()),
    ];
    let hashes: BTreeSet<String> = distinct.iter().map(DeclaredValue::hash).collect();
    assert_eq!(hashes.len(), distinct.len());
    assert!(hashes.iter().all(|hash| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit())));

    let other = Generator::Password(PasswordRules { length: 64, exclude_punctuation: true, ..PasswordRules::default() });
    let longer = DeclaredValue::Fields {
        data: map(&[("username", "admin")]),
        generate: BTreeMap::from([("password".to_owned(), other.clone())]),
        turns: None,
    };
    assert_eq!(longer.hash(), distinct[0].hash(), "options of generators take effect at the next rotation");
    assert_eq!(DeclaredValue::PlainText(other).hash(), DeclaredValue::PlainText(Generator::default()).hash());
    // Statuses in clusters hold these: another way to hash would give every object a new version.
    assert_eq!(distinct[0].hash(), "9e7c11c437a18532");
    assert_eq!(DeclaredValue::PlainText(Generator::default()).hash(), "ffeeac1f82f417b6");
}

#[test]
fn a_declaration_knows_its_fields_and_whether_it_generates() {
    let table = [
        (fields(&[("username", "admin"), ("a", "b")], &["password"]), vec!["a", "password", "username"], true),
        (fields(&[("username", "admin")], &[]), vec!["username"], false),
        (DeclaredValue::PlainText(Generator::default()), vec![], true),
    ];
    for (declared, names, generates) in table {
        assert_eq!(declared.field_names(), names);
        assert_eq!(declared.generates(), generates);
    }
}

/// A row of the table of layouts: type, keys, value, and what arrives.
type Row<'a> = (SecretType, &'a [(&'a str, &'a str)], Payload, Result<Vec<(&'a str, &'a [u8])>, LayoutError>);

fn check(table: Vec<Row<'_>>) {
    for (row, (kind, keys, value, expected)) in table.into_iter().enumerate() {
        let rendered = layout(kind, keys).render(&value);
        let rendered =
            rendered.as_ref().map(|data| data.iter().map(|(key, value)| (key.as_str(), value.expose())).collect()).map_err(Clone::clone);
        assert_eq!(rendered, expected, "row {row}: {kind:?} {keys:?}");
    }
}

#[test]
fn every_field_arrives_under_its_own_name_or_the_one_it_is_mapped_to() {
    let value = || json_text(&json!({"username": "admin", "port": 5432, "on": true, "none": null, "more": {"b": [1.5, "x"], "a": "é"}}));
    check(vec![
        (
            Opaque,
            &[],
            value(),
            Ok(vec![
                ("more", "{\"a\":\"é\",\"b\":[1.5,\"x\"]}".as_bytes()),
                ("none", b"null"),
                ("on", b"true"),
                ("port", b"5432"),
                ("username", b"admin"),
            ]),
        ),
        (Opaque, &[], json_text(&json!({})), Ok(vec![])),
        (Opaque, &[], json_text(&json!({"empty": "", "lines": "a\nb\"c\\"})), Ok(vec![("empty", b""), ("lines", b"a\nb\"c\\")])),
        (
            Opaque,
            &[("DB_USER", "username"), ("DB_PORT", "port"), ("LOGIN", "username")],
            value(),
            Ok(vec![("DB_PORT", b"5432"), ("DB_USER", b"admin"), ("LOGIN", b"admin")]),
        ),
        (Opaque, &[("A", "username"), ("B", "absent")], value(), Err(LayoutError::FieldMissing("absent".to_owned()))),
        (Opaque, &[("A", WHOLE_VALUE_KEY)], value(), Err(LayoutError::FieldMissing("value".to_owned()))),
    ]);
}

#[test]
fn a_value_without_fields_arrives_whole_under_one_key() {
    check(vec![
        (Opaque, &[], text("plain"), Ok(vec![("value", b"plain")])),
        (Opaque, &[], text("\"quoted\""), Ok(vec![("value", b"\"quoted\"")])),
        (Opaque, &[], text("[1]"), Ok(vec![("value", b"[1]")])),
        (Opaque, &[], text("{\"cut\":"), Ok(vec![("value", b"{\"cut\":")])),
        (Opaque, &[], text("-7"), Ok(vec![("value", b"-7")])),
        (Opaque, &[], binary(&[0, 255, 10]), Ok(vec![("value", &[0, 255, 10])])),
        (Opaque, &[], binary(b"{\"a\":\"b\",}"), Ok(vec![("value", b"{\"a\":\"b\",}")])),
        (Opaque, &[("API_KEY", "value")], text("plain"), Ok(vec![("API_KEY", b"plain")])),
        (Opaque, &[("API_KEY", "value")], binary(b"\0"), Ok(vec![("API_KEY", b"\0")])),
        (Opaque, &[("API_KEY", "token")], text("plain"), Err(LayoutError::NotAnObject)),
        (Opaque, &[("A", "value"), ("B", "value")], text("plain"), Err(LayoutError::NotAnObject)),
        (SshAuth, &[("ssh-privatekey", "value")], binary(b"key"), Ok(vec![("ssh-privatekey", b"key")])),
        (SshAuth, &[], text("key"), Err(LayoutError::KeyMissing("ssh-privatekey"))),
    ]);
}

#[test]
fn a_json_object_in_bytes_is_read_as_one() {
    check(vec![
        (Opaque, &[], binary(b"{\"a\":\"b\",\"n\":1}"), Ok(vec![("a", b"b"), ("n", b"1")])),
        (Opaque, &[("A", "a")], binary(b"{\"a\":\"b\"}"), Ok(vec![("A", b"b")])),
    ]);
    let made = object(&fields(&[("username", "admin")], &[]), Some(&binary(b"{\"foreign\":1}")), true, &[]);
    assert_eq!(Value::Object(made), json!({"username": "admin", "foreign": 1}));
}

#[test]
fn a_plain_text_arrives_whole_whatever_it_looks_like() {
    for value in [text("{\"a\":\"b\"}"), binary(b"{\"a\":\"b\"}")] {
        let rendered = |kind, keys: &[(&str, &str)]| {
            let data = layout(kind, keys).render_whole(&value)?;
            Ok(data.iter().map(|(key, bytes)| (key.clone(), bytes.expose().to_vec())).collect::<Vec<_>>())
        };
        let whole = |key: &str| Ok(vec![(key.to_owned(), b"{\"a\":\"b\"}".to_vec())]);
        assert_eq!(rendered(Opaque, &[]), whole("value"));
        assert_eq!(rendered(DockerConfigJson, &[(".dockerconfigjson", "value")]), whole(".dockerconfigjson"));
        assert_eq!(rendered(Opaque, &[("A", "a")]), Err(LayoutError::NotAnObject));
        assert_eq!(rendered(Tls, &[]), Err(LayoutError::KeyMissing("tls.crt")));
    }
}

#[test]
fn a_value_lacks_declared_fields_or_the_form_that_has_fields() {
    let declared = ["password".to_owned(), "username".to_owned()];
    let fields = |names: &[&str]| Some(Lack::Fields(names.iter().map(|name| (*name).to_owned()).collect()));
    let table = [
        (text(r#"{"username":"a","password":"b"}"#), None),
        (text(r#"{"username":null,"password":7,"more":1}"#), None),
        (binary(br#"{"username":"a","password":"b"}"#), None),
        (text(r#"{"username":"a"}"#), fields(&["password"])),
        (text("{}"), fields(&["password", "username"])),
        (text(r#"{"username":"a","password":"b",}"#), Some(Lack::Object)),
        (text("{\"username\":\"a\",\"password\":\"line\nline\"}"), Some(Lack::Object)),
        (text(r#"[{"username":"a","password":"b"}]"#), Some(Lack::Object)),
        (text(""), Some(Lack::Object)),
        (binary(b"\xff\xfe"), Some(Lack::Object)),
    ];
    for (row, (value, lack)) in table.into_iter().enumerate() {
        assert_eq!(value.lack(&declared), lack, "row {row}");
        assert_eq!(value.is_object(), lack != Some(Lack::Object), "row {row}");
    }
}

#[test]
fn each_type_of_secret_demands_its_keys() {
    let of = |names: &[&str]| json_text(&names.iter().map(|name| ((*name).to_owned(), json!("x"))).collect::<Map<_, _>>().into());
    let missing = |key| Err(LayoutError::KeyMissing(key));
    check(vec![
        (BasicAuth, &[], of(&["username"]), Ok(vec![("username", b"x")])),
        (BasicAuth, &[], of(&["password"]), Ok(vec![("password", b"x")])),
        (BasicAuth, &[], of(&["user"]), missing("password")),
        (BasicAuth, &[("password", "user")], of(&["user"]), Ok(vec![("password", b"x")])),
        (BasicAuth, &[("user", "password")], of(&["password"]), missing("password")),
        (SshAuth, &[], of(&["ssh-privatekey"]), Ok(vec![("ssh-privatekey", b"x")])),
        (SshAuth, &[], of(&["key"]), missing("ssh-privatekey")),
        (Tls, &[], of(&["tls.crt", "tls.key"]), Ok(vec![("tls.crt", b"x"), ("tls.key", b"x")])),
        (Tls, &[], of(&["tls.crt"]), missing("tls.key")),
        (Tls, &[], of(&["tls.key"]), missing("tls.crt")),
        (DockerConfigJson, &[], of(&["auths"]), missing(".dockerconfigjson")),
        (DockerConfigJson, &[], of(&[".dockerconfigjson"]), Err(LayoutError::Malformed(".dockerconfigjson"))),
        (DockerConfigJson, &[], json_text(&json!({".dockerconfigjson": "{\"auths\":"})), Err(LayoutError::Malformed(".dockerconfigjson"))),
        (DockerConfigJson, &[], json_text(&json!({".dockerconfigjson": ""})), Err(LayoutError::Malformed(".dockerconfigjson"))),
        (
            DockerConfigJson,
            &[],
            json_text(&json!({".dockerconfigjson": "{\"auths\":{}}"})),
            Ok(vec![(".dockerconfigjson", b"{\"auths\":{}}")]),
        ),
        (
            DockerConfigJson,
            &[],
            json_text(&json!({".dockerconfigjson": {"auths": {}}})),
            Ok(vec![(".dockerconfigjson", b"{\"auths\":{}}")]),
        ),
        (DockerConfigJson, &[(".dockerconfigjson", "value")], text("{}"), Err(LayoutError::FieldMissing("value".to_owned()))),
    ]);
}

#[test]
fn a_docker_config_that_is_json_but_no_object_is_malformed() {
    let malformed = || Err(LayoutError::Malformed(".dockerconfigjson"));
    check(
        ["[]", "7", "\"x\""]
            .map(|json| (DockerConfigJson, &[] as &[_], json_text(&json!({".dockerconfigjson": json})), malformed()))
            .into(),
    );
}

#[test]
fn an_empty_ssh_key_is_no_key_and_a_name_with_two_dots_at_its_start_is_none() {
    check(vec![(Opaque, &[], json_text(&json!({"..data": "x"})), Err(LayoutError::UnusableKey("..data".to_owned())))]);
    check(vec![(SshAuth, &[], json_text(&json!({"ssh-privatekey": ""})), Err(LayoutError::KeyMissing("ssh-privatekey")))]);
}

#[test]
fn a_field_whose_name_cannot_be_a_key_is_refused_unless_it_is_mapped_or_left_out() {
    let longest = "a".repeat(253);
    for usable in ["a", "A.b-c_9", ".a", "a..b", "-", longest.as_str()] {
        assert!(is_secret_key(usable), "{usable}");
    }
    let too_long = "a".repeat(254);
    for unusable in ["", ".", "..", "a b", "a/b", "é", "a\n", "a\0", "a:b", too_long.as_str()] {
        let value = json_text(&json!({unusable: "x", "fine": "y"}));
        let mapped = [("KEY", unusable)];
        check(vec![
            (
                Opaque,
                &[],
                json_text(&json!({unusable: "x", "fine": "y"})),
                Err(LayoutError::UnusableKey(unusable.chars().take(64).flat_map(char::escape_default).collect())),
            ),
            (Opaque, &mapped, value, Ok(vec![("KEY", b"x")])),
            (Opaque, &[("fine", "fine")], json_text(&json!({unusable: "x", "fine": "y"})), Ok(vec![("fine", b"y")])),
        ]);
    }
}

#[test]
fn no_error_carries_a_value_or_a_name_other_than_of_an_unusable_field() {
    let values = [
        text(CANARY),
        text(format!("{{\"a\":\"{CANARY}")),
        binary(CANARY.as_bytes()),
        json_text(&json!({(CANARY): CANARY, "a b": CANARY})),
        json_text(&json!({".dockerconfigjson": CANARY})),
    ];
    let mut errors = Vec::new();
    for kind in [Opaque, BasicAuth, SshAuth, Tls, DockerConfigJson] {
        for keys in [&[][..], &[("KEY", "absent")], &[(".dockerconfigjson", "value")]] {
            for value in &values {
                errors.extend(layout(kind, keys).render(value).err().map(|error| format!("{error:?}")));
            }
        }
    }
    let large = json_text(&json!({"foreign": CANARY.repeat(6000)}));
    let error = fields(&[], &["password"]).compose(Some(&large), true, Former::default(), &mut rng(), NOW).err().unwrap();
    errors.extend([format!("{error:?}"), error.to_string()]);
    for kind in ["FieldMissing", "KeyMissing", "NotAnObject", "UnusableKey", "Malformed", "TooLarge", "65,536"] {
        assert!(errors.iter().any(|error| error.contains(kind)), "{kind} is among the errors");
    }
    assert!(errors.iter().all(|error| !error.contains(CANARY)), "{errors:?}");
}
