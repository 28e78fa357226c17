use stagex_recipe::containerfile::{Instruction, Word};

use crate::{only, parse};

fn word(text: &str) -> Word {
    let Instruction::User(word) = only(&format!("USER {text}")) else { panic!() };
    assert_eq!(word.raw(), text);
    word
}

fn look(name: &str) -> Option<String> {
    let value = match name {
        "HOME" => "/root",
        "EMPTY" => "",
        "FILE" => "dir.d/name.tar.gz",
        "STARS" => "a*b?c",
        "LINES" => "one\ntwo",
        "WORDS" => "x  y",
        "É" => "accent",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn words_expand() {
    for (text, expected) in [
        ("plain", "plain"),
        ("$HOME/x", "/root/x"),
        ("${HOME}x", "/rootx"),
        ("a$none.b", "a.b"),
        ("$HOMEx", ""),
        ("$É", "accent"),
        ("5$", "5$"),
        ("$.", "$."),
        ("$1x$9", "x"),
        // Quotes and escapes.
        ("'$HOME'", "$HOME"),
        ("\"$HOME\"", "/root"),
        ("\"'$HOME'\"", "'/root'"),
        ("'\"a\"'", "\"a\""),
        ("\\$HOME", "$HOME"),
        ("\\\\$HOME", "\\/root"),
        ("\"\\$HOME \\a \\\" \\\\\"", "$HOME \\a \" \\"),
        ("a\\bc", "abc"),
        ("'a\\b'", "a\\b"),
        ("x''y\"\"z", "xyz"),
        // Defaults.
        ("${none:-d}", "d"),
        ("${none-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${HOME:-d}", "/root"),
        ("${none:-}", ""),
        ("${none:-$HOME}", "/root"),
        ("${none:-${none2:-${HOME}}}", "/root"),
        ("${none:-'a}b'}", "a}b"),
        ("${none:-\\}}", "}"),
        ("${none:-a b}", "a b"),
        // Alternatives.
        ("${none:+a}", ""),
        ("${none+a}", ""),
        ("${EMPTY:+a}", ""),
        ("${EMPTY+a}", "a"),
        ("${HOME:+a}", "a"),
        ("${HOME:+:$HOME}", ":/root"),
        // Demands.
        ("${HOME:?x}", "/root"),
        ("${EMPTY?x}", ""),
        // Patterns.
        ("${FILE#*.}", "d/name.tar.gz"),
        ("${FILE##*.}", "gz"),
        ("${FILE%.*}", "dir.d/name.tar"),
        ("${FILE%%.*}", "dir"),
        ("${FILE##*/}", "name.tar.gz"),
        ("${FILE%/*}", "dir.d"),
        ("${FILE#dir}", ".d/name.tar.gz"),
        ("${FILE#name}", "dir.d/name.tar.gz"),
        ("${FILE#???}", ".d/name.tar.gz"),
        ("${FILE#}", "dir.d/name.tar.gz"),
        ("${FILE##*}", ""),
        ("${FILE#*}", "dir.d/name.tar.gz"),
        ("${STARS#a\\*}", "b?c"),
        ("${STARS%\\?c}", "a*b"),
        ("${LINES#*o}", "ne\ntwo"),
        ("${LINES##*o}", "ne\ntwo"),
        ("${HOME#$HOME}", ""),
        ("${none#x}", ""),
        // Replacements.
        ("${FILE/./-}", "dir-d/name.tar.gz"),
        ("${FILE//./-}", "dir-d/name-tar-gz"),
        ("${FILE/d*r/x}", "x.gz"),
        ("${FILE//\\//_}", "dir.d_name.tar.gz"),
        ("${FILE/none/x}", "dir.d/name.tar.gz"),
        ("${FILE//a/}", "dir.d/nme.tr.gz"),
        ("${none/a/b}", ""),
        ("${FILE/name/$HOME}", "dir.d//root.tar.gz"),
    ] {
        assert_eq!(word(text).expand(&look).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_does_not_expand_is_pointed_at() {
    for (text, column, message) in [
        ("a${b", 2, "this `${` is never closed"),
        ("a${b:-c", 2, "this `${` is never closed"),
        ("a${b:-${c}", 2, "this `${` is never closed"),
        ("${}", 1, "a variable's name is missing after `${`"),
        ("x${:-y}", 2, "a variable's name is missing after `${`"),
        ("${b:=c}", 1, "`:=` is no modifier of a variable"),
        ("${b^}", 1, "`^` is no modifier of a variable"),
        ("${b:#c}", 1, "`:#` is no modifier of a variable"),
        ("a'b", 2, "this ' is never closed"),
        ("a\"b", 2, "this \" is never closed"),
        ("${none:?}", 1, "the variable none is unset or empty"),
        ("x${EMPTY:?say so}", 2, "EMPTY: say so"),
        ("${none?}", 1, "the variable none is unset"),
        ("${HOME#\\x}", 1, "`\\x` is no escape that a pattern knows"),
        ("${HOME/a}", 1, "`/` is missing between pattern and replacement"),
        ("${HOME/a/b", 1, "this `${` is never closed"),
    ] {
        let error = word(text).expand(&look).unwrap_err();
        let location = error.location.unwrap();
        assert_eq!(
            (error.message.as_str(), location.line, location.column - 5),
            (message, 2, column),
            "{text}"
        );
    }
}

#[test]
fn nesting_has_an_end() {
    let text = format!("{}x{}", "${a:-".repeat(10_000), "}".repeat(10_000));
    let error = word(&text).expand(&look).unwrap_err();
    assert_eq!(error.message, "variables are nested too deeply");
}

#[test]
fn wildcards_take_no_more_than_polynomial_time() {
    let value = "a".repeat(2_000);
    let text = format!("${{x%%{}b}}", "*a".repeat(40));
    assert_eq!(word(&text).expand(&|_| Some(value.clone())).unwrap(), value);
}

#[test]
fn words_part_at_spaces_of_values() {
    assert_eq!(word("a$WORDS'b c'\"$WORDS\"").expand_words(&look).unwrap(), ["ax", "yb cx  y"]);
    assert_eq!(word("$none").expand_words(&look).unwrap(), Vec::<String>::new());
}

#[test]
fn the_names_of_variables_are_found_wherever_they_stand() {
    let names = word("$a${b:-$c}${d:+${e}}'$f'\\$g${h#$i}${j/$k/$l}${m?}").variables();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "h", "i", "j", "k", "l", "m"]);
}

#[test]
fn literals_are_known_without_variables() {
    assert_eq!(word("a'b'\\$c").literal().as_deref(), Some("ab$c"));
    assert_eq!(word("a$b").literal(), None);
    assert_eq!(word("a${").literal(), None);
}

#[test]
fn a_word_that_was_continued_is_pointed_at_as_a_whole() {
    let file = parse("FROM a\nUSER x\\\n${y\n");
    let Instruction::User(word) = &file.stages[0].instructions[0].value else { panic!() };
    assert_eq!(word.raw(), "x${y");
    let error = word.expand(&look).unwrap_err();
    let location = error.location.unwrap();
    assert_eq!((location.line, location.column), (2, 6));
}
