use jiff::SignedDuration;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::*;
use crate::schedule::{Clock, Schedule};

fn parse(value: &Value) -> Result<DeclaredValue, Refusal> {
    declared(&ValueSpec::deserialize(value).unwrap(), None)
}

fn one(options: &Value) -> Generator {
    match parse(&json!({"generate": {"field": options}})) {
        Ok(DeclaredValue::Fields { generate, .. }) => generate["field"].clone(),
        other => panic!("{other:?}"),
    }
}

fn ssh(field: &str) -> Generator {
    Generator::SshKeyPair(SshRules { algorithm: SshAlgorithm::Ed25519, public_key_field: field.to_owned() })
}

fn tls() -> TlsRules {
    TlsRules {
        certificate_field: "tls.crt".to_owned(),
        ca_field: "ca.crt".to_owned(),
        common_name: String::new(),
        dns_names: vec!["a.example".to_owned()],
        validity_days: 90,
    }
}

#[test]
fn each_type_has_its_own_options_and_defaults() {
    let bytes = |length, encoding| Generator::Bytes(BytesRules { length, encoding });
    let table = [
        (json!({}), Generator::default()),
        (json!({"type": "Password", "passwordLength": 20}), Generator::Password(PasswordRules { length: 20, ..PasswordRules::default() })),
        (json!({"type": "Uuid"}), Generator::Uuid),
        (json!({"type": "Bytes"}), bytes(32, Encoding::Hex)),
        (json!({"type": "Bytes", "length": 8, "encoding": "Base64"}), bytes(8, Encoding::Base64)),
        (json!({"type": "Bytes", "length": 4096, "encoding": "Base64Url"}), bytes(4096, Encoding::Base64Url)),
        (json!({"type": "SshKeyPair"}), ssh("ssh.pub")),
        (json!({"type": "SshKeyPair", "algorithm": "Ed25519", "publicKeyField": "id.pub"}), ssh("id.pub")),
        (json!({"type": "TlsKeyPair", "dnsNames": ["a.example"]}), Generator::TlsKeyPair(tls())),
        (
            json!({"type": "TlsKeyPair", "certificateField": "c", "caField": "a", "commonName": "n", "validityDays": 7}),
            Generator::TlsKeyPair(TlsRules {
                certificate_field: "c".to_owned(),
                ca_field: "a".to_owned(),
                common_name: "n".to_owned(),
                dns_names: Vec::new(),
                validity_days: 7,
            }),
        ),
    ];
    for (options, generator) in table {
        assert_eq!(one(&options), generator, "{options}");
        let plain = parse(&json!({"plainText": options}));
        if generator.companions().is_empty() {
            assert_eq!(plain.unwrap(), DeclaredValue::PlainText(generator));
        } else {
            assert!(plain.unwrap_err().message.contains("spec.value.generate"));
        }
    }
}

#[test]
fn rules_by_which_nothing_can_be_made_are_refused_with_what_to_set() {
    for options in [
        json!({"type": "Bytes", "length": 7}),
        json!({"type": "Bytes", "length": -1}),
        json!({"type": "Bytes", "length": 4097}),
        json!({"type": "TlsKeyPair"}),
        json!({"type": "TlsKeyPair", "dnsNames": ["-a"]}),
        json!({"type": "TlsKeyPair", "commonName": "a", "validityDays": 0}),
    ] {
        let refusal = parse(&json!({"generate": {"field": options}})).unwrap_err();
        assert_eq!(refusal.reason, Reason::InvalidSpec);
        assert!(
            refusal.message.starts_with("spec.value.generate.field: ")
                && ["set ", "use "].iter().any(|word| refusal.message.contains(word)),
            "{}",
            refusal.message
        );
    }
}

#[test]
fn two_declarations_never_fill_the_same_field() {
    let tls = json!({"type": "TlsKeyPair", "commonName": "a"});
    let table = [
        (json!({"data": {"ssh.pub": "x"}, "generate": {"key": {"type": "SshKeyPair"}}}), "ssh.pub"),
        (json!({"generate": {"a": {"type": "SshKeyPair"}, "b": {"type": "SshKeyPair"}}}), "ssh.pub"),
        (json!({"generate": {"key": {"type": "SshKeyPair", "publicKeyField": "key"}}}), "key"),
        (json!({"generate": {"key": {"type": "SshKeyPair", "publicKeyField": "other"}, "other": {}}}), "other"),
        (json!({"generate": {"a": tls, "b": tls}}), "tls.crt"),
        (json!({"generate": {"a": {"type": "TlsKeyPair", "commonName": "a", "caField": "tls.crt"}}}), "tls.crt"),
        (json!({"generate": {"ca.crt": {"type": "Uuid"}, "b": tls}}), "ca.crt"),
    ];
    for (value, field) in table {
        let refusal = parse(&value).unwrap_err();
        assert!(refusal.message.contains(&format!("the field {field} is declared twice")), "{value}: {}", refusal.message);
    }
    let apart = json!({"generate": {"a": {"type": "SshKeyPair"}, "b": {"type": "SshKeyPair", "publicKeyField": "b.pub"}, "c": tls}});
    assert!(parse(&apart).is_ok());
}

#[test]
fn a_certificate_must_outlive_the_longest_time_between_two_rotations() {
    let scheduled = |expression: &str, hours: i64| Rotation::Scheduled {
        clock: Clock::new(
            Schedule::parse(expression).unwrap(),
            SignedDuration::from_hours(hours),
            crate::api::OnMissedWindow::RotateNow,
            crate::version_id::VersionIds::of("x"),
        )
        .unwrap(),
        expression: expression.to_owned(),
        suspended: false,
        immediately: false,
    };
    let of = |days: u32| {
        let generate = [("tls".to_owned(), Generator::TlsKeyPair(TlsRules { validity_days: days, ..tls() }))];
        DeclaredValue::Fields { data: [].into(), generate: generate.into(), turns: None }
    };
    for (expression, hours, days, advice) in [
        ("rate(30 days)", 0, 31, None),
        ("rate(30 days)", 0, 30, Some("validityDays to 31 ")),
        ("cron(0 8 1 * ? *)", 0, 32, None),
        ("cron(0 8 1 * ? *)", 0, 31, Some("validityDays to 32 ")),
        ("rate(36 hours)", 0, 1, Some("validityDays to 2 ")),
        ("rate(36 hours)", 0, 2, None),
        // Early in one window, late in the next.
        ("rate(36 hours)", 12, 2, Some("validityDays to 3 ")),
    ] {
        match (outliving(scheduled(expression, hours), Some(&of(days))), advice) {
            (Rotation::Scheduled { .. }, None) => {}
            (Rotation::Refused(refusal), Some(advice)) => {
                assert_eq!(refusal.reason, Reason::InvalidSpec);
                assert!(refusal.message.contains(advice), "{}", refusal.message);
            }
            (other, _) => panic!("{expression}, {days} days: {other:?}"),
        }
    }
    let password = DeclaredValue::PlainText(Generator::default());
    assert!(matches!(outliving(scheduled("rate(300 days)", 0), Some(&password)), Rotation::Scheduled { .. }));
    assert!(matches!(outliving(scheduled("rate(300 days)", 0), None), Rotation::Scheduled { .. }));
    assert!(matches!(outliving(Rotation::Never, Some(&of(1))), Rotation::Never));
}

/// <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
#[test]
fn a_password_for_a_url_has_only_characters_that_need_no_encoding() {
    let spec: GeneratorSpec =
        serde_json::from_value(json!({"excludeUrlUnsafe": true, "excludeAmbiguous": true, "includeSpace": true})).unwrap();
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(7);
    let mut used = BTreeSet::new();
    for _ in 0..500 {
        let made = generator("spec.value.plainText", &spec).unwrap().generate(&mut rng, jiff::Timestamp::UNIX_EPOCH).unwrap();
        used.extend(made.own.expose().chars());
    }
    let allowed = ('!'..='~').filter(|c| c.is_ascii_alphanumeric() || "-._~".contains(*c)).filter(|c| !"0Oo1Il".contains(*c));
    assert_eq!(used, allowed.collect());
}
