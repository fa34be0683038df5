//! The rules of `spec.value` on the real API server: what each type of generator takes, and the sentence for everything else.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{AMBIGUOUS, RotatedSecret, URL_UNSAFE};
use rotated_secrets::generate::PasswordRules;
use serde_json::{Value, json};

use testkit::{World, control_plane};

fn ssh() -> Value {
    json!({"type": "SshKeyPair", "algorithm": "Ed25519", "publicKeyField": "key.pub"})
}

fn tls() -> Value {
    json!({"type": "TlsKeyPair", "certificateField": "crt", "caField": "ca", "commonName": "a", "dnsNames": ["a.example", "*.b.example"],
           "validityDays": 90})
}

/// An option too many or another one.
fn but(mut options: Value, name: &str, value: Value) -> Value {
    options[name] = value;
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_the_options_of_each_type() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("generators").await?).await?;
    let bytes = json!({"type": "Bytes", "length": 8, "encoding": "Base64Url"});
    let fields: Vec<Value> = vec![
        json!({"generate": {"id": {"type": "Uuid"}, "key": bytes, "ssh": ssh(), "tls": tls(), "password": {}}}),
        json!({"generate": {"ssh": {"type": "SshKeyPair"}, "tls": {"type": "TlsKeyPair", "commonName": "robot"}}, "data": {"user": "git"}}),
        json!({"generate": {"bytes": {"type": "Bytes"}, "most": {"type": "Bytes", "length": 4096, "encoding": "Hex"}}}),
        json!({"plainText": {"type": "Uuid"}}),
        json!({"plainText": bytes}),
        json!({"plainText": {"type": "Password"}}),
    ];
    for (number, value) in fields.into_iter().enumerate() {
        world.create(&format!("taken-{number}"), json!({"value": value})).await?;
    }
    Ok(())
}

/// A valid value with one mutation, and the words that the refusal must have.
fn mistakes() -> Vec<(Value, &'static str)> {
    let field = |options: Value| json!({"generate": {"field": options}});
    let bytes = || json!({"type": "Bytes", "length": 32, "encoding": "Hex"});
    let named = || json!({"type": "TlsKeyPair", "commonName": "a"});
    vec![
        (field(json!({"type": "Bytes", "passwordLength": 20})), "are valid only with type: Password"),
        (field(json!({"type": "Uuid", "excludeNumbers": true})), "are valid only with type: Password"),
        (field(but(ssh(), "requireEachIncludedType", json!(false))), "are valid only with type: Password"),
        (field(json!({"length": 32})), "are valid only with type: Bytes"),
        (field(but(json!({"type": "Uuid"}), "encoding", json!("Hex"))), "are valid only with type: Bytes"),
        (field(json!({"publicKeyField": "x"})), "are valid only with type: SshKeyPair"),
        (field(but(bytes(), "algorithm", json!("Ed25519"))), "are valid only with type: SshKeyPair"),
        (field(but(ssh(), "validityDays", json!(90))), "are valid only with type: TlsKeyPair"),
        (field(json!({"dnsNames": ["a.example"]})), "are valid only with type: TlsKeyPair"),
        (field(json!({"excludeCharacters": "0123456789"})), "excludeCharacters excludes all characters of one"),
        (
            field(json!({"excludeCharacters": "0123456789abcdefghijklmnopqrstuvwxy", "excludePunctuation": true, "excludeUppercase": true,
                "requireEachIncludedType": false})),
            "a password with less than 64 bits",
        ),
        (field(but(ssh(), "algorithm", json!("Rsa"))), "Unsupported value"),
        (field(but(bytes(), "encoding", json!("Base32"))), "Unsupported value"),
        (field(but(bytes(), "length", json!(7))), "can be guessed"),
        (field(but(bytes(), "length", json!(4097))), "less than or equal to 4096"),
        (field(json!({"type": "TlsKeyPair"})), "a certificate requires a name"),
        (field(but(tls(), "dnsNames", json!([]))), "at least 1 items"),
        (field(but(tls(), "dnsNames", json!(["a b"]))), "dnsNames"),
        (field(but(tls(), "dnsNames", json!(["a", "a"]))), "duplicate entries"),
        (field(but(tls(), "validityDays", json!(0))), "greater than or equal to 1"),
        (field(but(tls(), "caField", json!("a b"))), "caField may contain only letters"),
        (field(but(tls(), "certificateField", json!("a/b"))), "certificateField may contain only letters"),
        (field(but(ssh(), "publicKeyField", json!("a b"))), "publicKeyField may contain only letters"),
        (field(but(ssh(), "publicKeyField", json!("field"))), "must differ from every other field"),
        (field(but(tls(), "caField", json!("crt"))), "must differ from every other field"),
        (json!({"generate": {"a": {"type": "SshKeyPair"}, "b": {"type": "SshKeyPair"}}}), "must differ from every other field"),
        (json!({"generate": {"a": named(), "ca.crt": {}}}), "must differ from every other field"),
        (json!({"generate": {"a": named(), "b": but(ssh(), "publicKeyField", json!("tls.crt"))}}), "must differ from every other field"),
        (json!({"generate": {"a": {"type": "SshKeyPair"}}, "data": {"ssh.pub": "x"}}), "must differ from every other field"),
        (json!({"plainText": ssh()}), "declare SshKeyPair and TlsKeyPair as a field"),
        (json!({"plainText": named()}), "declare SshKeyPair and TlsKeyPair as a field"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_generator_is_refused_at_apply_with_what_to_write_instead() -> Result<()> {
    let cluster = control_plane().await?;
    let namespace = cluster.namespace("generator-mistakes").await?;
    let mut specs: Vec<(Value, &str)> = mistakes().into_iter().map(|(value, words)| (json!({"value": value}), words)).collect();
    let short = |days: u32| json!({"generate": {"tls": but(tls(), "validityDays", json!(days))}});
    specs.push((json!({"value": short(30), "rotation": {"automaticallyAfterDays": 30}}), "valid for longer than the interval between"));
    for (number, (spec, words)) in specs.into_iter().enumerate() {
        let object = json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
            "metadata": {"name": format!("mistake-{number}")}, "spec": spec,
        });
        let refusal = cluster.apply_yaml_in(&namespace, &object.to_string()).await.map(|_| ()).expect_err(words);
        let text = format!("{refusal:#}");
        assert!(text.contains(words), "{spec}: {text}");
    }
    Ok(())
}

/// The rule computes entropy from the classes alone, rounded; it must draw the line where the operator does.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_knows_a_weak_password_as_the_operator_does() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("weak").await?).await?;
    for mask in 0..64_u32 {
        let [numbers, punctuation, uppercase, lowercase, space, each] = [0, 1, 2, 3, 4, 5].map(|bit| mask & (1 << bit) != 0);
        if numbers && punctuation && uppercase && lowercase {
            continue;
        }
        let strong = |length: u32| {
            let rules = PasswordRules {
                length,
                exclude_characters: String::new(),
                exclude_numbers: numbers,
                exclude_punctuation: punctuation,
                exclude_uppercase: uppercase,
                exclude_lowercase: lowercase,
                include_space: space,
                require_each_included_type: each,
            };
            rules.validate().is_ok()
        };
        let least = (8..64).find(|length| strong(*length)).unwrap();
        for length in [least - 1, least] {
            let options = json!({
                "passwordLength": length, "excludeNumbers": numbers, "excludePunctuation": punctuation, "excludeUppercase": uppercase,
                "excludeLowercase": lowercase, "includeSpace": space, "requireEachIncludedType": each,
            });
            let created = world.create(&format!("p-{mask}-{length}"), json!({"value": {"plainText": options}})).await;
            assert_eq!(created.is_ok(), length == least, "{options}");
        }
    }
    Ok(())
}

/// Random sets of excluded characters, with the shortest password that is strong enough and the longest that is not.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_knows_what_excluded_characters_leave_as_the_operator_does() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("excluded").await?).await?;
    let printable: Vec<char> = (' '..='~').collect();
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(7);
    let mut drawn = || usize::try_from(rand::Rng::next_u32(&mut rng)).unwrap();
    for number in 0..120 {
        let left = 1 + drawn() % printable.len();
        let mut exclude_characters: String = printable.iter().filter(|_| drawn() % printable.len() >= left).collect();
        exclude_characters.extend((number % 3 == 0).then_some('\u{fc}'));
        let [numbers, punctuation, uppercase, space, each] = [4, 4, 4, 2, 2].map(|of| drawn() % of == 0);
        let [ambiguous, url_unsafe] = [2, 3].map(|of| number % of == 1);
        let sets = [(ambiguous, AMBIGUOUS), (url_unsafe, URL_UNSAFE)];
        let excluded: String = sets.into_iter().filter(|(on, _)| *on).map(|(_, set)| set).collect::<String>() + &exclude_characters;
        let rules = |length| PasswordRules {
            length,
            exclude_characters: excluded.clone(),
            exclude_numbers: numbers,
            exclude_punctuation: punctuation,
            exclude_uppercase: uppercase,
            exclude_lowercase: false,
            include_space: space,
            require_each_included_type: each,
        };
        let options = |length| {
            let rules = rules(length);
            json!({"plainText": {
                "passwordLength": length, "excludeCharacters": exclude_characters, "excludeNumbers": rules.exclude_numbers,
                "excludePunctuation": rules.exclude_punctuation, "excludeUppercase": rules.exclude_uppercase,
                "excludeLowercase": rules.exclude_lowercase, "includeSpace": rules.include_space,
                "requireEachIncludedType": rules.require_each_included_type,
                "excludeAmbiguous": ambiguous, "excludeUrlUnsafe": url_unsafe,
            }})
        };
        let least = (8..=4096).find(|length| rules(*length).validate().is_ok());
        let lengths = least.map_or_else(|| vec![8, 4096], |least| if least > 8 { vec![least - 1, least] } else { vec![8] });
        for length in lengths {
            let created = world.create(&format!("e-{number}-{length}"), json!({"value": options(length)})).await;
            assert_eq!(created.is_ok(), rules(length).validate().is_ok(), "{}: {created:?}", options(length));
        }
    }
    Ok(())
}

/// Each shipped pair becomes a Secret of its type, and a rotation renews every part of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_pairs_in_the_examples_are_mirrored_and_rotated_as_a_whole() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("pairs").await?).await?;
    let operator = world.operator(None, Arc::default()).await?;
    for (yaml, kind, keys) in [
        (include_str!("../../examples/ssh-deploy-key.yaml"), "kubernetes.io/ssh-auth", &["ssh-privatekey", "ssh-publickey"][..]),
        (include_str!("../../examples/webhook-tls.yaml"), "kubernetes.io/tls", &["ca.crt", "tls.crt", "tls.key"]),
    ] {
        cluster.apply_yaml_in(&world.namespace, yaml).await?;
        let object: RotatedSecret = serde_saphyr::from_str(yaml.split("\n---\n").next().context("a document")?)?;
        let name = object.metadata.name.context("a name")?;
        world.settle(&operator, &name).await?;
        let first = world.secrets().get(&name).await?;
        assert_eq!(first.type_.as_deref(), Some(kind));
        let first = first.data.context("data")?;
        assert_eq!(first.keys().collect::<Vec<_>>(), keys);

        // The webhook serves each version one rotation late.
        for token in ["now", "again"] {
            world.request_rotation(&name, token).await?;
            world.settle(&operator, &name).await?;
        }
        let second = world.secrets().get(&name).await?.data.context("data")?;
        for key in keys {
            assert_ne!(first[*key].0, second[*key].0, "{key}");
        }
    }
    Ok(())
}

/// The table has one declaration or one field of a pair in each row.
#[tokio::test(flavor = "multi_thread")]
async fn the_samples_of_the_page_have_the_form_of_what_is_generated() -> Result<()> {
    let page = include_str!("../../docs/values.md");
    let table = page.split("### Samples").nth(1).context("the samples")?.split("\n## ").next().context("the table")?;
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    let declared: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).filter(|cell| cell.starts_with('{')).collect();
    let mut fields = json!({});
    for (index, declaration) in declared.iter().enumerate() {
        fields[format!("field{index}")] = serde_saphyr::from_str(declaration)?;
    }
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("samples").await?).await?;
    let operator = world.operator(None, Arc::default()).await?;
    world.create("samples", json!({"value": {"generate": fields}})).await?;
    world.settle(&operator, "samples").await?;
    let data = world.secrets().get("samples").await?.data.context("data")?;

    let mut field = 0;
    for row in &rows {
        let [left, sample] = row.as_slice() else { anyhow::bail!("{row:?}") };
        let names = if left.starts_with("its") {
            let default = |word: &str| match word {
                "`publicKeyField`" => Some("ssh.pub".to_owned()),
                "`certificateField`" => Some("tls.crt".to_owned()),
                "`caField`" => Some("ca.crt".to_owned()),
                _ => None,
            };
            left.split(' ').filter_map(default).collect()
        } else {
            field += 1;
            vec![format!("field{}", field - 1)]
        };
        ensure!(!names.is_empty(), "{left}");
        for name in names {
            let value = std::str::from_utf8(&data.get(&name).with_context(|| name.clone())?.0)?;
            ensure!(has_form(value, sample.trim_matches('`')), "{name} is not as in the row {row:?}");
        }
    }
    assert_eq!(field, declared.len());
    Ok(())
}

/// The same beginning, or the same length and no other kinds of characters.
fn has_form(value: &str, sample: &str) -> bool {
    if let Some(beginning) = sample.strip_suffix("...") {
        return value.starts_with(beginning.trim_end());
    }
    let kind = |c: char| match c {
        'a'..='f' => 'a',
        'g'..='z' => 'z',
        'A'..='Z' => 'Z',
        '0'..='9' => '0',
        '-' | '_' | '.' | '~' => '-',
        _ => '!',
    };
    let kinds = |text: &str| text.chars().map(kind).collect::<BTreeSet<_>>();
    value.len() == sample.len() && kinds(value).is_subset(&kinds(sample))
}
