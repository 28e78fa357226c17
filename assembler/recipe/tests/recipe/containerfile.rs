use stagex_recipe::containerfile::{
    Command, Copy, CopySource, Healthcheck, Instruction, Invocation, MountKind, Network, Security,
    Sharing, Word,
};

use crate::{errors, only, parse, run};

fn raw(words: &[Word]) -> Vec<&str> {
    words.iter().map(Word::raw).collect()
}

fn paths(sources: &[CopySource]) -> Vec<&str> {
    fn path(source: &CopySource) -> &str {
        match source {
            CopySource::Path(word) => word.raw(),
            CopySource::Heredoc(heredoc) => &heredoc.name,
        }
    }
    sources.iter().map(path).collect()
}

fn copy(line: &str) -> Copy {
    match only(line) {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn assignments(line: &str) -> Vec<(String, String)> {
    match only(line) {
        Instruction::Env(list) | Instruction::Label(list) => list
            .iter()
            .map(|each| (each.key.raw().to_owned(), each.value.raw().to_owned()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stages_have_bases_platforms_and_names() {
    let file = parse(
        "ARG BASE=busybox EXTRA\nFROM ${BASE} AS One\nRUN a\nfrom --platform=$BUILDPLATFORM one as two\n\
         FROM scratch\nCOPY --from=two /a /b\n",
    );
    let globals: Vec<_> = file
        .global_args
        .iter()
        .map(|arg| (arg.name.raw(), arg.default.as_ref().map(Word::raw)))
        .collect();
    assert_eq!(globals, [("BASE", Some("busybox")), ("EXTRA", None)]);
    let stages: Vec<_> = file
        .stages
        .iter()
        .map(|stage| {
            (
                stage.base.raw(),
                stage.platform.as_ref().map(Word::raw),
                stage.name.as_ref().map(|name| name.value.as_str()),
                stage.instructions.len(),
            )
        })
        .collect();
    assert_eq!(
        stages,
        [
            ("${BASE}", None, Some("one"), 1),
            ("one", Some("$BUILDPLATFORM"), Some("two"), 0),
            ("scratch", None, None, 1),
        ]
    );
}

#[test]
fn spans_point_into_the_file() {
    let text = "FROM scratch\nCOPY --chown=1:2 one \\\n  # why\n  two three\nUSER x\n";
    let file = parse(text);
    let Instruction::Copy(copy) = &file.stages[0].instructions[0].value else { panic!() };
    assert_eq!(file.document.slice(copy.chown.as_ref().unwrap().span()), "1:2");
    assert_eq!(file.document.slice(copy.destination.span()), "three");
    let span = file.stages[0].instructions[0].span;
    assert_eq!(file.document.slice(span), "COPY --chown=1:2 one \\\n  # why\n  two three");
    assert_eq!(file.document.position(copy.destination.span().start).line, 4);
}

#[test]
fn continued_lines_skip_comments_and_blank_lines() {
    let file =
        parse("FROM scratch\nRUN one \\\n# not this\n  # nor this\n\n  two \\\n\tthree\n# end\n");
    let Instruction::Run(run) = &file.stages[0].instructions[0].value else { panic!() };
    assert_eq!(run.command, Command::Shell("one   two \tthree".to_owned()));
    assert_eq!(file.warnings.len(), 1, "the blank line");
    assert_eq!(file.warnings[0].location.as_ref().unwrap().line, 5);
}

#[test]
fn an_escaped_escape_does_not_continue_a_line() {
    let file = parse("FROM scratch\nUSER a\\\\\nWORKDIR b \\\t \n  c\nUSER d\\");
    let found: Vec<_> = file.stages[0]
        .instructions
        .iter()
        .map(|each| match &each.value {
            Instruction::User(word) | Instruction::Workdir(word) => word.raw(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, ["a\\\\", "b   c", "d"]);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_read_over() {
    let file = parse("\u{feff}# escape=`\r\nFROM scratch\r\nRUN a `\r\n  b\r\n");
    assert_eq!(file.directives.escape, '`');
    let Instruction::Run(run) = &file.stages[0].instructions[0].value else { panic!() };
    assert_eq!(run.command, Command::Shell("a   b".to_owned()));
}

#[test]
fn directives_count_only_at_the_top() {
    let file =
        parse("#syntax = docker/dockerfile:1\n# check=skip=all\n# why\n# escape=`\nFROM a\n");
    assert_eq!(file.directives.syntax.unwrap().value, "docker/dockerfile:1");
    assert_eq!(file.directives.check.unwrap().value, "skip=all");
    assert_eq!(file.directives.escape, '\\', "after a comment it is a comment");
    assert_eq!(errors("# escape=x\nFROM a\n"), ["1:1: `x` cannot be the escape character"]);
    assert_eq!(errors("# escape=`\n# escape=`\nFROM a\n"), ["2:1: a second `escape` directive"]);
}

#[test]
fn the_escape_directive_changes_words_too() {
    let file = parse("# escape=`\nFROM scratch\nWORKDIR C:\\x`$y\n");
    let Instruction::Workdir(word) = &file.stages[0].instructions[0].value else { panic!() };
    assert_eq!(word.expand(&|_| Some("no".to_owned())).unwrap(), "C:\\x$y");
}

#[test]
fn env_and_label_have_two_forms() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        assignments("ENV A=1 B=\"x y\" C='$z' D=a\\ b E="),
        [
            pair("A", "1"),
            pair("B", "\"x y\""),
            pair("C", "'$z'"),
            pair("D", "a\\ b"),
            pair("E", ""),
        ]
    );
    assert_eq!(assignments("ENV  PATH   /a b  \"c\" "), [pair("PATH", "/a b  \"c\"")]);
    assert_eq!(
        assignments("LABEL \"com.x\"=\"a=b\" y=z"),
        [pair("\"com.x\"", "\"a=b\""), pair("y", "z"),]
    );
    assert_eq!(errors("FROM a\nENV A=1 B\n"), ["2:9: `B` is no name=value"]);
    assert_eq!(errors("FROM a\nENV A\n"), ["2:5: ENV needs a name and a value"]);
}

#[test]
fn arg_takes_several_names() {
    let Instruction::Arg(arguments) = only("ARG A B=2 C= D=\"x y\"") else { panic!() };
    let found: Vec<_> =
        arguments.iter().map(|arg| (arg.name.raw(), arg.default.as_ref().map(Word::raw))).collect();
    assert_eq!(found, [("A", None), ("B", Some("2")), ("C", Some("")), ("D", Some("\"x y\""))]);
    assert_eq!(errors("FROM a\nARG =x\n"), ["2:5: ARG without a name"]);
}

#[test]
fn commands_are_json_or_for_a_shell() {
    let shell = |text: &str| Command::Shell(text.to_owned());
    let exec = |words: &[&str]| Command::Exec(words.iter().map(|w| (*w).to_owned()).collect());
    assert_eq!(run("RUN echo  'a'  b").command, shell("echo  'a'  b"));
    assert_eq!(run(r#"RUN ["a", "b \"c\"", "\u00e9"]"#).command, exec(&["a", "b \"c\"", "é"]));
    assert_eq!(run("RUN [ -e /x ] && y").command, shell("[ -e /x ] && y"));
    let Instruction::Entrypoint(command) = only("ENTRYPOINT [\"/bin/sh\"]") else { panic!() };
    assert_eq!(command, exec(&["/bin/sh"]));
    let Instruction::Cmd(command) = only("CMD []") else { panic!() };
    assert_eq!(command, exec(&[]));
    let Instruction::Shell(shell) = only("SHELL [\"/bin/sh\", \"-ec\"]") else { panic!() };
    assert_eq!(shell, ["/bin/sh", "-ec"]);
    assert_eq!(errors("FROM a\nSHELL /bin/sh\n"), ["2:7: SHELL takes a JSON list of strings"]);
    assert_eq!(errors("FROM a\nCMD [\"a\", 1]\n"), ["2:5: a JSON list here holds strings only"]);
    let odd = parse("FROM a\nCMD ['a']\n");
    assert_eq!(odd.warnings[0].message, "this is no JSON list, so a shell gets it as it is");
}

#[test]
fn run_has_flags() {
    let plain = run("RUN true");
    assert_eq!((plain.network, plain.security), (Network::Default, Security::Sandbox));
    let flagged = run("RUN --network=none --security=insecure -- --odd");
    assert_eq!((flagged.network, flagged.security), (Network::None, Security::Insecure));
    assert_eq!(flagged.invocation(), Invocation::Shell("--odd".to_owned()));
    assert_eq!(errors("FROM a\nRUN --network=nune x\n"), ["2:15: `nune` is no value of --network"]);
    assert_eq!(
        errors("FROM a\nRUN --network=none --network=none x\n"),
        ["2:20: a second --network"]
    );
    assert_eq!(errors("FROM a\nRUN --network x\n"), ["2:5: --network needs a value"]);
}

#[test]
fn mounts_of_every_type() {
    let spec = |flag: &str| {
        let run = run(&format!("RUN --mount={flag} x"));
        run.mounts[0].resolve(&|name| (name == "ID").then(|| "7".to_owned())).unwrap()
    };
    let bind = spec("from=build,source=/a,target=/b");
    assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
    assert_eq!((bind.from.as_deref(), &*bind.source, &*bind.target), (Some("build"), "/a", "/b"));
    assert!(!spec("type=bind,target=/b,rw").read_only);
    assert!(!spec("type=bind,target=/b,readonly=false").read_only);
    let cache = spec("type=cache,id=x$ID,dst=/c,sharing=locked,mode=0755,uid=1,gid=2");
    assert_eq!((cache.kind, cache.read_only), (MountKind::Cache, false));
    assert_eq!((cache.id.as_deref(), cache.sharing), (Some("x7"), Sharing::Locked));
    assert_eq!((cache.mode, cache.uid, cache.gid), (Some(0o755), Some(1), Some(2)));
    let tmpfs = spec("type=tmpfs,target=/t,size=1.5m");
    assert_eq!((tmpfs.kind, tmpfs.size), (MountKind::Tmpfs, Some(1_572_864)));
    let secret = spec("type=secret,id=s,required,env=TOKEN");
    assert_eq!((secret.kind, secret.required), (MountKind::Secret, true));
    assert_eq!(secret.env.as_deref(), Some("TOKEN"));
    assert_eq!(spec("type=ssh").kind, MountKind::Ssh);
}

#[test]
fn mounts_say_what_is_wrong() {
    for (flag, error) in [
        ("type=bnid,target=/x", "2:18: \"bnid\" is no value of `type`"),
        ("tpye=bind", "2:13: a mount has no option `tpye`"),
        ("type=bind,size=1", "2:23: a mount of type bind has no option `size`"),
        ("type=cache,target=/x,mode=9", "2:39: \"9\" is no value of `mode`"),
        ("type=secret", "2:13: a secret needs an id, a source or a target"),
        ("type=cache,target", "2:24: the option `target` needs a value"),
        ("from=$X", "2:18: variables do not expand in the name of a stage or image"),
        ("type=tmpfs,target=/x,size=lots", "2:39: \"lots\" is no value of `size`"),
    ] {
        assert_eq!(errors(&format!("FROM a\nRUN --mount={flag} x\n")), [error], "{flag}");
    }
}

#[test]
fn copy_has_flags_and_several_sources() {
    let flags =
        "--from=build --chown=1:2 --chmod=0755 --link --parents=false --exclude=*.o --exclude=*.a";
    let copied = copy(&format!("COPY {flags} a b/ *.c /dest/"));
    assert_eq!(paths(&copied.sources), ["a", "b/", "*.c"]);
    assert_eq!(copied.destination.raw(), "/dest/");
    assert_eq!(copied.from.unwrap().value, "build");
    assert_eq!(copied.chown.unwrap().raw(), "1:2");
    assert_eq!(copied.chmod.unwrap().raw(), "0755");
    assert_eq!((copied.link, copied.parents), (true, false));
    assert_eq!(raw(&copied.exclude), ["*.o", "*.a"]);
    let json = copy(r#"COPY ["a b", "c\td", "/e f"]"#);
    assert_eq!((paths(&json.sources), json.destination.raw()), (vec!["a b", "c\td"], "/e f"));
    let quoted = copy("COPY --chown=\"a b\" x y");
    assert_eq!(quoted.chown.unwrap().raw(), "a b");
    assert_eq!(errors("FROM a\nCOPY x\n"), ["2:6: COPY needs a source and a destination"]);
    assert_eq!(errors("FROM a\nCOPY --form=b x y\n"), ["2:6: COPY has no flag --form"]);
    assert_eq!(errors("FROM a\nCOPY --link=maybe x y\n"), ["2:6: --link is true or false"]);
    assert_eq!(
        errors("FROM a\nCOPY --from=$b x y\n"),
        ["2:13: variables do not expand in the name of a stage or image"]
    );
}

#[test]
fn add_has_flags() {
    let flags = "--checksum=sha256:00 --unpack=true --keep-git-dir --chmod=644";
    let Instruction::Add(add) = only(&format!("ADD {flags} https://x/y.tar /z")) else { panic!() };
    assert_eq!(paths(&add.sources), ["https://x/y.tar"]);
    assert_eq!(add.checksum.unwrap().raw(), "sha256:00");
    assert_eq!((add.unpack, add.keep_git_dir, add.link), (Some(true), Some(true), false));
    let Instruction::Add(add) = only("ADD . .") else { panic!() };
    assert_eq!((add.unpack, add.keep_git_dir), (None, None));
}

#[test]
fn the_smaller_instructions() {
    let Instruction::Expose(ports) = only("EXPOSE 80 443/udp $PORTS") else { panic!() };
    assert_eq!(raw(&ports), ["80", "443/udp", "$PORTS"]);
    let many = |_: &str| Some("1 2".to_owned());
    assert_eq!(ports[2].expand_words(&many).unwrap(), ["1", "2"]);
    let Instruction::Volume(volumes) = only("VOLUME [\"/a b\", \"/c\"]") else { panic!() };
    assert_eq!(raw(&volumes), ["/a b", "/c"]);
    let Instruction::Stopsignal(signal) = only("STOPSIGNAL SIGTERM") else { panic!() };
    assert_eq!(signal.raw(), "SIGTERM");
    let Instruction::Maintainer(name) = only("MAINTAINER A B <a@b>") else { panic!() };
    assert_eq!(name, "A B <a@b>");
    let Instruction::User(user) = only("user 1000:1000") else { panic!() };
    assert_eq!(user.raw(), "1000:1000");
}

#[test]
fn health_checks() {
    let Instruction::Healthcheck(check) =
        only("HEALTHCHECK --interval=1m30s --timeout=250ms --retries=3 CMD curl x || exit 1")
    else {
        panic!()
    };
    assert_eq!(
        check,
        Healthcheck::Check {
            command: Command::Shell("curl x || exit 1".to_owned()),
            interval: 90_000_000_000,
            timeout: 250_000_000,
            start_period: 0,
            start_interval: 0,
            retries: 3,
        }
    );
    assert_eq!(only("HEALTHCHECK none"), Instruction::Healthcheck(Healthcheck::None));
    for (line, error) in [
        ("HEALTHCHECK --interval=1 CMD x", "2:24: `1` is no duration"),
        ("HEALTHCHECK --interval=1us CMD x", "2:24: `1us` is no duration"),
        ("HEALTHCHECK --retries=-1 CMD x", "2:23: --retries is a whole number, zero or more"),
        ("HEALTHCHECK CMD", "2:13: HEALTHCHECK CMD without a command"),
        ("HEALTHCHECK NONE x", "2:13: nothing follows HEALTHCHECK NONE"),
        ("HEALTHCHECK TCP 80", "2:13: HEALTHCHECK is CMD or NONE"),
    ] {
        assert_eq!(errors(&format!("FROM a\n{line}\n")), [error], "{line}");
    }
}

#[test]
fn onbuild_holds_an_instruction() {
    let Instruction::Onbuild(onbuild) = only("ONBUILD RUN <<EOF\nx\nEOF") else { panic!() };
    assert_eq!(onbuild.text, "RUN <<EOF\nx\nEOF");
    let Instruction::Run(run) = &onbuild.instruction.value else { panic!() };
    assert_eq!(run.invocation(), Invocation::Shell("x\n".to_owned()));
    for keyword in ["ONBUILD", "FROM", "MAINTAINER"] {
        assert_eq!(
            errors(&format!("FROM a\nONBUILD {keyword} x\n")),
            [format!("2:9: {keyword} cannot follow ONBUILD")]
        );
    }
}

#[test]
fn all_errors_are_told_at_once() {
    assert_eq!(
        errors("FROM a\nRNU x\nCOPY y\nRUN ok\nFROM b c\nFROM d AS 1\nENV\n"),
        [
            "2:1: `RNU` is no instruction",
            "3:6: COPY needs a source and a destination",
            "5:8: FROM takes one base and, after AS, a name",
            "6:11: `1` cannot name a stage",
            "7:1: ENV says nothing",
        ]
    );
}

#[test]
fn a_file_without_stages_builds_nothing() {
    for text in ["", "# only this\n", "ARG X=1\n", "\n\n"] {
        assert_eq!(errors(text), ["1:1: there is no FROM: nothing to build"], "{text:?}");
    }
    assert_eq!(errors("RUN x\nCOPY a b\nFROM c\n"), ["1:1: RUN stands before any FROM"]);
}

#[test]
fn a_repeated_stage_name_is_a_warning() {
    let file = parse("FROM a AS x\nFROM b AS X\n");
    assert_eq!(file.warnings[0].message, "a second stage named `x`");
}
