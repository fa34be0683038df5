//! A value that is mirrored as a whole, or beside the previous one.

use super::*;
use crate::api::SecretType::{DockerConfigJson, Opaque};
use crate::plaintext::SecretBytes;

fn text(value: &str) -> Payload {
    Payload::Text(Plaintext::from(value.to_owned()))
}

fn binary(bytes: &[u8]) -> Payload {
    Payload::Binary(SecretBytes::from(bytes.to_vec()))
}

#[test]
fn the_whole_value_arrives_under_one_key_byte_for_byte() {
    let document = "{\"auths\": {\"ghcr.io\": {\"auth\": \"dTpw\"}}}\n";
    for (kind, key, value) in [
        (DockerConfigJson, ".dockerconfigjson", document),
        (Opaque, "config.json", document),
        (Opaque, "config.json", "{\"a\":\"b\"}"),
        (Opaque, "list", "[1]"),
        (Opaque, "text", "plain"),
    ] {
        let layout = Layout { kind, whole: Some(key.to_owned()), ..Layout::default() };
        for data in [layout.render(&text(value)), layout.render(&binary(value.as_bytes())), layout.render_whole(&text(value))] {
            let data: Vec<_> = data.unwrap().into_iter().map(|(key, bytes)| (key, bytes.expose().to_vec())).collect();
            assert_eq!(data, [(key.to_owned(), value.as_bytes().to_vec())]);
        }
    }
    let layout = Layout { kind: DockerConfigJson, whole: Some(".dockerconfigjson".to_owned()), ..Layout::default() };
    for refused in ["plain", "[1]", "{\"a\":1e999}", "{\"a\":[{\"b\":-1e400}]}"] {
        assert_eq!(layout.render(&text(refused)).err(), Some(LayoutError::Malformed(".dockerconfigjson")), "{refused}");
    }
    assert!(layout.render(&text("{\"a\":1e-999,\"b\":123456789012345678901234567890}")).is_ok());
    let elsewhere = Layout { whole: Some("other".to_owned()), ..layout };
    assert_eq!(elsewhere.render(&text("{}")).err(), Some(LayoutError::KeyMissing(".dockerconfigjson")));
}

#[test]
fn the_previous_value_is_beside_the_current_one_where_both_have_a_key() {
    let render = |value: &str| Layout::default().render(&text(value)).unwrap();
    for (current, previous, expected) in [
        (r#"{"a":"1"}"#, r#"{"a":"0"}"#, vec![("a", "1"), ("a.previous", "0")]),
        (r#"{"a":"1"}"#, r#"{"b":"0"}"#, vec![("a", "1")]),
        (r#"{"a":"1"}"#, "text", vec![("a", "1")]),
        (r#"{"a":"1","a.previous":"own"}"#, r#"{"a":"0"}"#, vec![("a", "1"), ("a.previous", "own")]),
        ("new", "old", vec![("value", "new"), ("value.previous", "old")]),
    ] {
        let data = Layout::with_previous(render(current), render(previous));
        let data: Vec<_> = data.iter().map(|(key, bytes)| (key.as_str(), std::str::from_utf8(bytes.expose()).unwrap())).collect();
        assert_eq!(data, expected);
    }
    // A Secret holds at most 1 MiB.
    for (size, keys) in [(1024 * 512, 2), (1024 * 512 + 1, 1)] {
        let large = "x".repeat(size);
        assert_eq!(Layout::with_previous(render(&large), render(&large)).len(), keys, "{size}");
    }
}
