//! Properties of every generator.

use rand::SeedableRng;
use rand::rngs::StdRng;

use serde_json::{Map, Value};

use super::*;

fn all() -> Vec<Generator> {
    vec![
        Generator::default(),
        Generator::Uuid,
        Generator::Bytes(BytesRules::default()),
        Generator::SshKeyPair(SshRules { algorithm: SshAlgorithm::Ed25519, public_key_field: "pub".to_owned() }),
        Generator::TlsKeyPair(TlsRules {
            certificate_field: "crt".to_owned(),
            ca_field: "ca".to_owned(),
            common_name: "robot".to_owned(),
            dns_names: Vec::new(),
            validity_days: 90,
        }),
    ]
}

#[test]
fn every_generator_is_strong_enough_by_default() {
    for generator in all() {
        assert_eq!(generator.validate(), Ok(()));
        assert!(generator.entropy_bits() >= 64.0, "{generator:?}");
    }
}

#[test]
fn every_generator_fills_exactly_the_fields_that_it_names_and_keeps_what_it_made() {
    let mut rng = StdRng::seed_from_u64(42);
    for generator in all() {
        let made = generator.generate(&mut rng, Timestamp::UNIX_EPOCH).ok().unwrap();
        let names: Vec<_> = made.companions.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, generator.companions());
        assert!(!made.own.is_empty() && made.companions.iter().all(|(_, text)| !text.is_empty()));

        let mut object: Map<String, Value> = Map::new();
        assert!(matches!(generator.keep("own", &object), Kept::Nothing));
        object.insert("own".to_owned(), made.own.expose().into());
        for (name, text) in &made.companions {
            object.insert(name.clone(), text.expose().into());
        }
        assert!(matches!(generator.keep("own", &object), Kept::Whole));
    }
}

#[test]
fn no_generator_makes_the_same_value_twice() {
    let mut rng = StdRng::seed_from_u64(42);
    for generator in all() {
        let mut make = || generator.generate(&mut rng, Timestamp::UNIX_EPOCH).ok().unwrap().own.expose().to_owned();
        assert_ne!(make(), make());
    }
}
