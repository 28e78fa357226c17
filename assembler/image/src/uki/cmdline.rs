//! What a kernel command line may hold.

use super::{CmdlineProblem, Machine};

/// Checks that a command line reaches the kernel as it is written.
///
/// Printable ASCII, with double quotes in pairs (the kernel takes an open one to the end of the
/// line), and no longer than `COMMAND_LINE_SIZE` of the machine's kernel less its NUL.
pub fn check_cmdline(text: &str, machine: Machine) -> Result<(), CmdlineProblem> {
    let mut quotes = 0_usize;
    let mut last_quote = 0;
    for (index, character) in text.chars().enumerate() {
        if !matches!(character, ' '..='~') {
            return Err(CmdlineProblem::Character { character, position: index + 1 });
        }
        if character == '"' {
            quotes += 1;
            last_quote = index + 1;
        }
    }
    if quotes % 2 != 0 {
        return Err(CmdlineProblem::Quote { position: last_quote });
    }
    let max = match machine {
        Machine::X86_64 | Machine::Arm64 => 2047,
        Machine::Riscv64 => 1023,
    };
    if text.len() > max {
        return Err(CmdlineProblem::TooLong { len: text.len(), max, machine });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_and_where() {
        let check = |text: &str| check_cmdline(text, Machine::X86_64);
        assert_eq!(check(""), Ok(()));
        assert_eq!(check(r#"quiet dyndbg="file ec.c +p" console=ttyS0"#), Ok(()));
        for (text, character, position) in
            [("a\nb", '\n', 2), ("\0", '\0', 1), ("a=\t", '\t', 3), ("é", 'é', 1)]
        {
            assert_eq!(check(text), Err(CmdlineProblem::Character { character, position }));
        }
        assert_eq!(check(r#"a="b" c="d"#), Err(CmdlineProblem::Quote { position: 9 }));
        assert_eq!(check(&"a".repeat(2047)), Ok(()));
        assert!(matches!(
            check_cmdline(&"a".repeat(1024), Machine::Riscv64),
            Err(CmdlineProblem::TooLong { len: 1024, max: 1023, .. })
        ));
    }
}
