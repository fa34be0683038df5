//! Templates as tables, and what a tenant could try with them.

use serde_json::json;

use super::*;

/// Stands for a secret: it must be in no message.
const CANARY: &str = "canary-6f1d";

fn value() -> Payload {
    let value = json!({
        "username": "admin",
        "password": "p@ss/w:rd \"é",
        "port": 5432,
        "db-user": "odd",
        "document": "a field",
        "text": " a\nb ",
        "nested": {"list": [{"name": "first"}, "second"], "name": "Deep"},
        "canary": CANARY,
    });
    Payload::Text(Plaintext::from(value.to_string()))
}

fn rendered(text: &str, value: &Payload) -> Result<String, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    let made = template.render(value, &mut Budget::default()).map_err(|error| format!("{error:?}"))?;
    Ok(String::from_utf8(made.expose().to_vec()).unwrap())
}

#[test]
fn expressions_stand_for_fields_and_filters_change_their_text() {
    for (text, expected) in [
        ("", ""),
        ("no { expression }} at } all {", "no { expression }} at } all {"),
        ("{{ username }}", "admin"),
        ("a{{username}}b{{\n port\t}}c", "aadminb5432c"),
        ("postgres://{{ username }}:{{ password | urlencode }}@db/app", "postgres://admin:p%40ss%2Fw%3Ard%20%22%C3%A9@db/app"),
        ("{{ password | tojson }}", "\"p@ss/w:rd \\\"é\""),
        ("{{ port | tojson }}{{ nested.list[1] | tojson }}", "5432\"second\""),
        ("{{ nested | tojson }}", "{\"list\":[{\"name\":\"first\"},\"second\"],\"name\":\"Deep\"}"),
        ("{{ nested.name | lower | tojson }}", "\"deep\""),
        ("{{ username | b64encode }}", "YWRtaW4="),
        ("{{ username | upper | lower | trim }}", "admin"),
        ("{{ text | trim }}", "a\nb"),
        ("{{ text | trim | indent(2) }}", "a\n  b"),
        ("{{ username | replace('min', \"max\") }}", "admax"),
        ("{{ username | replace( 'a' , '' ) }}", "dmin"),
        ("{{ fields[\"db-user\"] }}{{ fields.username }}{{ fields['document'] }}", "oddadmina field"),
        ("{{ nested.list[0].name }}{{ nested['list'][1] }}", "firstsecond"),
        ("{{ absent | default('x') }}{{ absent.deep | upper | default('y') | upper }}", "xY"),
        ("{{ username | default('x') }}", "admin"),
        ("{{ '{{' }} {{ \"it's\" | upper }}", "{{ IT'S"),
        ("é{{ 'é' }}", "éé"),
        ("{{ document.username }}{{ document['db-user'] }}", "adminodd"),
    ] {
        assert_eq!(rendered(text, &value()), Ok(expected.to_owned()), "{text}");
    }
    let plain = Payload::Text(Plaintext::from("just a text".to_owned()));
    assert_eq!(rendered("token={{ document }}", &plain), Ok("token=just a text".to_owned()));
    assert_eq!(rendered("{{ document | b64encode }}", &Payload::Binary(SecretBytes::from(b"bytes".to_vec()))), Ok("Ynl0ZXM=".to_owned()));
    let json = Payload::Binary(SecretBytes::from(b"{\"a\": \"b\"}".to_vec()));
    assert_eq!(rendered("{{ a }} of {{ document }}", &json), Ok("b of {\"a\": \"b\"}".to_owned()));
}

#[test]
fn what_a_value_lacks_is_told_without_the_value() {
    let binary = Payload::Binary(SecretBytes::from(vec![0xff, 0xfe]));
    let plain = Payload::Text(Plaintext::from(CANARY.to_owned()));
    for (text, value, expected) in [
        ("{{ absent }}", value(), "Missing(\"absent\")"),
        ("{{ canary.deeper }}", value(), "Missing(\"canary.deeper\")"),
        ("{{ nested.list[2] }}", value(), "Missing(\"nested.list.2\")"),
        ("{{ nested.list.name }}", value(), "Missing(\"nested.list.name\")"),
        ("{{ username }}", plain, "Missing(\"username\")"),
        ("{{ document }}", binary, "NotText"),
    ] {
        assert_eq!(rendered(text, &value), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn what_is_no_template_is_refused_with_line_and_column() {
    for (text, expected) in [
        ("{% for a in b %}", "line 1, column 1: statements"),
        ("a\n b {# c #}", "line 2, column 4: statements"),
        ("{{", "line 1, column 3: expected the name"),
        ("{{ }}", "line 1, column 4: expected the name"),
        ("{{ 1 }}", "line 1, column 4: expected the name"),
        ("{{ username", "line 1, column 12: expected |"),
        ("{{ username }", "line 1, column 13: expected |"),
        ("{{ a + b }}", "line 1, column 6: expected |"),
        ("{{ a * 9 }}", "line 1, column 6: expected |"),
        ("{{ a() }}", "line 1, column 5: expected |"),
        ("{{ a ~ b }}", "line 1, column 6: expected |"),
        ("{{- a }}", "line 1, column 3: expected the name"),
        ("é\n{{ a.}}", "line 2, column 6: expected a name after the dot"),
        ("{{ a[b] }}", "line 1, column 6: expected a name in quotes"),
        ("{{ a['b' }}", "line 1, column 9: expected a name in quotes"),
        ("{{ a[''] }}", "line 1, column 8: expected a name in quotes"),
        ("{{ a | indent(04) }}", "line 1, column 17: expected the number"),
        ("{{ a | trim | trim | trim | trim | trim | trim | trim | trim | trim }}", "line 1, column 63: an expression has at most 8"),
        ("{{ 'a }}", "line 1, column 5: the text has no quote"),
        ("{{ 'a\\'b' }}", "line 1, column 5: a text in quotes"),
        ("{{ a | }}", "line 1, column 8: a filter is one of"),
        ("{{ a | safe }}", "line 1, column 8: a filter is one of"),
        ("{{ a | indent }}", "line 1, column 14: expected the number"),
        ("{{ a | indent(65) }}", "line 1, column 17: expected the number"),
        ("{{ a | default }}", "line 1, column 15: expected texts"),
        ("{{ a | default(b) }}", "line 1, column 16: expected a text"),
        ("{{ a | replace('b') }}", "line 1, column 19: expected texts"),
        ("{{ a | replace('', 'b') }}", "line 1, column 24: replace needs"),
    ] {
        let error = Template::parse(text).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn no_template_makes_more_than_a_secret_holds() {
    let long = Payload::Text(Plaintext::from(
        json!({"a": "a".repeat(30_000), "b": "\n".repeat(20_000), "nested": {"b": "b".repeat(20_000)}}).to_string(),
    ));
    let doubled = format!("{{{{ a{} }}}}", " | replace('a', 'aaaa')".repeat(8));
    let wide = format!("{{{{ b{} }}}}", " | indent(64)".repeat(8));
    let large = format!("{{{{ a | replace('a', '{}') }}}}", "x".repeat(4_000));
    let many = "{{ a }}".repeat(585);
    // What is made on the way counts, too.
    let shrunk = "{{ a | replace('a', 'aaaaaaaaaaaaaaa') | upper | lower | upper | lower | upper | lower | replace('a', '') }}".repeat(9);
    let steps = "{{ nested.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a | default('') }}".repeat(60);
    for text in [&doubled, &wide, &large, &many, &shrunk, &steps] {
        assert!(text.len() <= 4_096);
        assert_eq!(rendered(text, &long), Err("TooLarge".to_owned()), "{}", &text[..40]);
    }
}

#[test]
fn a_template_is_shown_as_it_was_written() {
    let template = Template::parse("{{ a }}").unwrap();
    assert_eq!((template.text(), format!("{template:?}").as_str()), ("{{ a }}", "\"{{ a }}\""));
    assert_ne!(template, Template::parse("{{ b }}").unwrap());
}
