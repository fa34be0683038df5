//! A first value that is given.

use super::*;
use crate::generate::Generator;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

fn declared(turns: Option<Turns>) -> DeclaredValue {
    DeclaredValue::Fields {
        data: BTreeMap::from([(USERNAME.to_owned(), "app".to_owned())]),
        generate: BTreeMap::from([("password".to_owned(), Generator::default())]),
        turns,
    }
}

#[test]
fn it_is_the_content_of_the_generated_field_byte_for_byte() {
    let turns = Turns { base: "app".to_owned(), twin: "app_clone".to_owned() };
    for given in ["short", "{\"a\": 1}", " \"quoted\"\n", "ünïcode"] {
        for declared in [declared(None), declared(Some(turns.clone()))] {
            let value = declared.with_first(Plaintext::from(given.to_owned()), &mut rand::rng(), NOW).ok().unwrap();
            let value = serde_json::from_str::<serde_json::Value>(value.expose()).unwrap();
            assert_eq!(value, serde_json::json!({"username": "app", "password": given}));
        }
        let plain = DeclaredValue::PlainText(Generator::default()).with_first(Plaintext::from(given.to_owned()), &mut rand::rng(), NOW);
        assert_eq!(plain.ok().unwrap().expose(), given);
    }
}

#[test]
fn it_is_as_large_as_aws_holds_at_most() {
    let plain = DeclaredValue::PlainText(Generator::default());
    let of = |bytes: usize| plain.with_first(Plaintext::from("x".repeat(bytes)), &mut rand::rng(), NOW).err();
    assert_eq!((of(LARGEST_VALUE), of(LARGEST_VALUE + 1)), (None, Some(ComposeError::TooLarge)));
    assert_eq!(
        declared(None).with_first(Plaintext::from("x".repeat(LARGEST_VALUE)), &mut rand::rng(), NOW).err(),
        Some(ComposeError::TooLarge)
    );
}
