use stagex_recipe::containerfile::{Copy, CopySource, Heredoc, Instruction, Invocation};

use crate::{errors, only, parse, run};

fn shell(text: &str) -> Invocation {
    Invocation::Shell(text.to_owned())
}

fn files(line: &str) -> Vec<Heredoc> {
    let sources = match only(line) {
        Instruction::Copy(Copy { sources, .. }) => sources,
        Instruction::Add(add) => add.sources,
        other => panic!("{other:?}"),
    };
    let file = |source| match source {
        CopySource::Heredoc(heredoc) => heredoc,
        CopySource::Path(word) => panic!("{}", word.raw()),
    };
    sources.into_iter().map(file).collect()
}

#[test]
fn a_bare_heredoc_is_the_script_itself() {
    assert_eq!(run("RUN <<EOF\necho $x\n# kept\n\n  y \\\n  z\nEOF").invocation(), {
        shell("echo $x\n# kept\n\n  y \\\n  z\n")
    });
    assert_eq!(run("RUN << EOF\nx\nEOF").invocation(), shell("x\n"));
    assert_eq!(run("RUN <<EOF\nEOF").invocation(), shell(""));
}

#[test]
fn a_dash_drops_leading_tabs() {
    let run = run("RUN <<-EOF\n\tone\n\t\ttwo\n\t  three\n  four\n\tEOF");
    assert_eq!(run.heredocs[0].raw, "\tone\n\t\ttwo\n\t  three\n  four\n");
    assert_eq!(run.invocation(), shell("one\ntwo\n  three\n  four\n"));
}

#[test]
fn a_shebang_makes_it_a_file() {
    let script = |name: &str, content: &str| Invocation::Script {
        name: name.to_owned(),
        content: content.to_owned(),
    };
    assert_eq!(
        run("RUN <<PY\n#!/usr/bin/python3\nprint(1)\nPY").invocation(),
        script("PY", "#!/usr/bin/python3\nprint(1)\n")
    );
    assert_eq!(
        run("RUN <<-PY\n\t#!/bin/sh\n\tx\n\tPY").invocation(),
        script("PY", "#!/bin/sh\nx\n"),
        "tabs before the shebang are dropped first"
    );
}

#[test]
fn beside_a_command_the_shell_reads_it() {
    assert_eq!(
        run("RUN python3 <<EOF\nprint('x')\nEOF").invocation(),
        shell("python3 <<EOF\nprint('x')\nEOF")
    );
    assert_eq!(
        run("RUN cat <<-EOF > /x\n\ta\n\tEOF").invocation(),
        shell("cat <<-EOF > /x\n\ta\nEOF"),
        "the shell drops the tabs"
    );
    assert_eq!(
        run("RUN cat <<'EOF' | tr a b\n$x\nEOF").invocation(),
        shell("cat <<'EOF' | tr a b\n$x\nEOF")
    );
}

#[test]
fn two_heredocs_on_a_line_follow_one_another() {
    let both = run("RUN cat <<A 3<<\"B\" && x\none\nA\ntwo\nB");
    let found: Vec<_> = both
        .heredocs
        .iter()
        .map(|each| (each.name.as_str(), each.descriptor, each.expand, each.raw.as_str()))
        .collect();
    assert_eq!(found, [("A", None, true, "one\n"), ("B", Some(3), false, "two\n")]);
    assert_eq!(both.invocation(), shell("cat <<A 3<<\"B\" && x\none\nA\ntwo\nB"));
}

#[test]
fn what_only_looks_like_a_heredoc_is_none() {
    for command in ["cat <<<word", "echo '<<EOF'", "echo \"a <<EOF\"", "echo \\<<EOF", "echo a<b"] {
        let run = run(&format!("RUN {command}"));
        assert_eq!((run.heredocs.len(), run.invocation()), (0, shell(command)), "{command}");
    }
    let exec = run("RUN [\"cat\", \"<<EOF\"]");
    assert_eq!(exec.heredocs.len(), 0);
    let Instruction::Cmd(_) = only("CMD cat <<EOF") else { panic!() };
}

#[test]
fn a_heredoc_after_a_continued_line_and_flags() {
    let run = run("RUN --network=none \\\n  # why\n  <<EOF\nx\nEOF");
    assert_eq!(run.invocation(), shell("x\n"));
}

#[test]
fn the_next_instruction_begins_after_the_delimiter() {
    let file = parse("FROM a\nRUN <<EOF\nFROM b\n EOF\nEOF \nEOF\nUSER x\n");
    assert_eq!(file.stages.len(), 1);
    let Instruction::Run(run) = &file.stages[0].instructions[0].value else { panic!() };
    assert_eq!(run.invocation(), shell("FROM b\n EOF\nEOF \n"), "blanks make another line");
    assert_eq!(file.stages[0].instructions.len(), 2);
}

#[test]
fn copied_files_expand_unless_quoted() {
    let look = |name: &str| (name == "V").then(|| "1.2".to_owned());
    let text = "v=$V ${V%.*} \\$V 'a' \"b\" ${none:-d} $(c) 5$\n";
    let expanded = "v=1.2 1 $V 'a' \"b\" d $(c) 5$\n";
    for (mark, content) in [("EOF", expanded), ("'EOF'", text), ("\"EOF\"", text)] {
        let [file] =
            <[Heredoc; 1]>::try_from(files(&format!("COPY <<{mark} /x\n{text}EOF"))).unwrap();
        assert_eq!(file.expand(&look).unwrap(), content, "{mark}");
        let [file] =
            <[Heredoc; 1]>::try_from(files(&format!("ADD <<{mark} /x\n{text}EOF"))).unwrap();
        assert_eq!(file.expand(&look).unwrap(), content, "{mark}");
    }
}

#[test]
fn several_files_in_one_copy() {
    let both = files("COPY <<a.txt <<-b.txt /dir/\none\na.txt\n\ttwo\n\tb.txt");
    let contents: Vec<_> = both.iter().map(|file| (file.name.as_str(), file.content())).collect();
    assert_eq!(contents, [("a.txt", "one\n".to_owned()), ("b.txt", "two\n".to_owned())]);
}

#[test]
fn windows_line_ends_stay_in_the_content() {
    let file = &files("COPY <<EOF /x\r\na\r\nEOF\r")[0];
    assert_eq!(file.content(), "a\r\n");
}

#[test]
fn a_heredoc_that_never_ends_is_an_error() {
    assert_eq!(errors("FROM a\nRUN x <<EOF\ny\n"), ["2:7: the heredoc `EOF` never ends"]);
    assert_eq!(
        errors("FROM a\nCOPY <<A <<B /x\none\nA\ntwo\n"),
        ["2:6: the heredoc `B` never ends"]
    );
    assert_eq!(errors("FROM a\nCOPY x <<EOF\nEOF\n"), ["2:8: a heredoc cannot be the destination"]);
}

#[test]
fn content_that_does_not_expand_is_pointed_at() {
    let file = &files("COPY <<EOF /x\none\ntwo ${ x\nEOF")[0];
    let error = file.expand(&|_| None).unwrap_err();
    let location = error.location.unwrap();
    assert_eq!((location.line, location.column), (4, 5));
    assert!(error.help.unwrap().contains("<<'EOF'"));
}
