//! Runs a command in a sandbox: `sandbox <upper> <work> <layer>... -- <command>...`
use stagex_sandbox::{Cancel, Spec, shell};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(upper), Some(work)) = (args.next(), args.next()) else {
        return Err("usage: sandbox <upper> <work> <layer>... -- <command>...".into());
    };
    let layers = args.by_ref().take_while(|a| a != "--").map(Into::into).collect();
    let mut spec = Spec::new(layers, upper, work, args);
    spec.env = vec![("PATH".into(), "/bin:/usr/bin".into())];
    let outcome = shell(&spec, &Cancel::new()?)?;
    std::io::Write::write_all(&mut std::io::stderr(), format!("{outcome:?}\n").as_bytes())?;
    Ok(())
}
