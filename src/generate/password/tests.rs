use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn rng() -> StdRng {
    // ChaCha12, with a fixed seed so that a failure can be repeated.
    StdRng::seed_from_u64(42)
}

fn rules(change: impl FnOnce(&mut PasswordRules)) -> PasswordRules {
    let mut rules = PasswordRules::default();
    change(&mut rules);
    rules
}

fn has(password: &str, class: &str) -> bool {
    password.chars().any(|c| class.contains(c))
}

#[test]
fn the_options_say_which_characters_and_how_many() {
    let upper_lower = format!("{UPPERCASE}{LOWERCASE}");
    let all = format!("{upper_lower}{NUMBERS}{PUNCTUATION}");
    let table = [
        (rules(|_| ()), all.clone(), 32),
        (rules(|r| r.length = 4096), all.clone(), 4096),
        (rules(|r| r.length = 12), all.clone(), 12),
        (rules(|r| r.include_space = true), format!("{all} "), 32),
        (rules(|r| r.exclude_punctuation = true), format!("{upper_lower}{NUMBERS}"), 32),
        (rules(|r| (r.exclude_numbers, r.exclude_punctuation) = (true, true)), upper_lower, 32),
        (
            rules(|r| {
                r.exclude_uppercase = true;
                r.exclude_lowercase = true;
                r.exclude_punctuation = true;
            }),
            NUMBERS.to_owned(),
            32,
        ),
        (rules(|r| r.exclude_characters = "\"@/\\".to_owned()), all.replace(['"', '@', '/', '\\'], ""), 32),
        (rules(|r| (r.include_space, r.exclude_characters) = (true, " é".to_owned())), all, 32),
    ];
    let mut rng = rng();
    for (rules, alphabet, length) in table {
        assert_eq!(rules.validate(), Ok(()), "{rules:?}");
        assert_eq!(rules.alphabet().iter().collect::<String>(), alphabet);
        for _ in 0..50 {
            let password = rules.generate(&mut rng);
            assert_eq!(password.len(), length, "{rules:?}");
            assert!(password.expose().chars().all(|c| alphabet.contains(c)));
        }
    }
}

#[test]
fn punctuation_is_all_of_ascii() {
    let all: String = ('!'..='~').filter(char::is_ascii_punctuation).collect();
    assert_eq!(PUNCTUATION, all);
}

#[test]
fn impossible_and_weak_rules_are_refused_with_what_to_change() {
    let all = format!("{UPPERCASE}{LOWERCASE}{NUMBERS}{PUNCTUATION}");
    let table = [
        (rules(|r| r.length = 0), GenerateError::Length(0)),
        (rules(|r| r.length = 4097), GenerateError::Length(4097)),
        (
            rules(|r| {
                r.exclude_uppercase = true;
                r.exclude_lowercase = true;
                r.exclude_numbers = true;
                r.exclude_punctuation = true;
            }),
            GenerateError::NoCharacters,
        ),
        (rules(|r| r.exclude_characters.clone_from(&all)), GenerateError::NoCharacters),
        (rules(|r| r.exclude_characters = NUMBERS.to_owned()), GenerateError::ClassExcluded(CharacterClass::Numbers)),
        (rules(|r| r.length = 3), GenerateError::TooShort(4)),
        (rules(|r| r.length = 8), GenerateError::TooWeak { bits: 43, advice: Advice::Lengthen(12) }),
        (
            rules(|r| {
                r.length = 12;
                r.exclude_uppercase = true;
                r.exclude_lowercase = true;
                r.exclude_punctuation = true;
            }),
            GenerateError::TooWeak { bits: 39, advice: Advice::Lengthen(20) },
        ),
        (
            rules(|r| {
                r.require_each_included_type = false;
                r.exclude_characters = all.replace('x', "");
            }),
            GenerateError::TooWeak { bits: 0, advice: Advice::ExcludeLess },
        ),
    ];
    for (rules, expected) in table {
        assert_eq!(rules.validate(), Err(expected), "{rules:?}");
        let message = expected.to_string();
        assert!(message.len() < 200 && !message.ends_with('.'), "{message}");
    }
}

#[test]
fn the_advised_length_is_the_least_that_is_accepted() {
    for (numbers, punctuation, required) in [(false, false, true), (true, true, true), (true, false, false)] {
        let mut rules = rules(|r| {
            r.exclude_numbers = numbers;
            r.exclude_punctuation = punctuation;
            r.require_each_included_type = required;
            r.length = 4;
        });
        let Err(GenerateError::TooWeak { advice: Advice::Lengthen(length), .. }) = rules.validate() else { panic!("{rules:?}") };
        rules.length = length - 1;
        assert!(rules.validate().is_err());
        rules.length = length;
        assert_eq!(rules.validate(), Ok(()));
    }
}

#[test]
fn a_class_that_is_excluded_character_by_character_is_no_error_when_none_is_required() {
    let rules = rules(|r| {
        r.exclude_characters = NUMBERS.to_owned();
        r.require_each_included_type = false;
    });
    assert_eq!(rules.validate(), Ok(()));
}

#[test]
fn every_required_class_is_present_a_thousand_times() {
    let mut rng = rng();
    let rules = rules(|r| r.length = 12);
    for _ in 0..1000 {
        let password = rules.generate(&mut rng);
        for class in [UPPERCASE, LOWERCASE, NUMBERS, PUNCTUATION] {
            assert!(has(password.expose(), class));
        }
    }
}

#[test]
fn every_position_can_hold_every_class() {
    let mut rng = rng();
    // As short as can be: each position is a required one.
    let rules = rules(|r| r.length = 4);
    let mut seen = [[false; 4]; 4];
    for _ in 0..1000 {
        let password = rules.generate(&mut rng);
        for (position, c) in password.expose().chars().enumerate() {
            for (class, of) in [UPPERCASE, LOWERCASE, NUMBERS, PUNCTUATION].iter().enumerate() {
                seen[position][class] |= of.contains(c);
            }
        }
    }
    assert_eq!(seen, [[true; 4]; 4]);
}

/// Chi-square of counts against a uniform distribution.
fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.iter().fold(0.0, |n, _| n + 1.0);
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

#[test]
fn characters_are_uniform() {
    let mut rng = rng();
    let rules = rules(|r| {
        r.length = 4096;
        r.require_each_included_type = false;
    });
    let alphabet = rules.alphabet();
    let mut counts = vec![0; alphabet.len()];
    for _ in 0..100 {
        for c in rules.generate(&mut rng).expose().chars() {
            counts[alphabet.iter().position(|a| *a == c).unwrap()] += 1;
        }
    }
    // 93 degrees of freedom: more than 152 happens once in 10,000 seeds.
    let chi_square = chi_square(&counts);
    assert!(chi_square < 152.0, "{chi_square}");
}

#[test]
fn required_positions_are_uniform() {
    let mut rng = rng();
    let rules = rules(|r| {
        r.length = 10;
        r.exclude_characters = NUMBERS.replace('7', "");
    });
    let mut counts = [0; 10];
    for _ in 0..20_000 {
        let password = rules.generate(&mut rng);
        // Sevens that came by the alphabet are uniform too.
        for (position, _) in password.expose().match_indices('7') {
            counts[position] += 1;
        }
    }
    // 9 degrees of freedom: more than 33.7 happens once in 10,000 seeds.
    let chi_square = chi_square(&counts);
    assert!(chi_square < 33.7, "{chi_square}");
}

#[test]
fn bounded_draws_stay_in_their_range_and_reach_all_of_it() {
    let mut rng = rng();
    assert_eq!(below(&mut rng, 0), None);
    for end in [1, 2, 3, 4, 5, 63, 64, 65, 94, 4096] {
        let mut seen = vec![false; end];
        for _ in 0..end * 30 {
            seen[below(&mut rng, end).unwrap()] = true;
        }
        assert!(seen.iter().all(|seen| *seen), "{end}");
    }
}

#[test]
fn rules_that_were_not_validated_neither_panic_nor_hang() {
    let mut rng = rng();
    for length in [0, 1, 3, u32::MAX] {
        rules(|r| r.length = length).generate(&mut rng);
        rules(|r| (r.length, r.exclude_numbers, r.exclude_characters) = (length, true, "x".into())).generate(&mut rng);
    }
    let none = rules(|r| {
        r.exclude_characters = format!("{UPPERCASE}{LOWERCASE}{NUMBERS}{PUNCTUATION}");
    });
    assert!(none.generate(&mut rng).is_empty());
}
