//! The binary `dca-auth`: reads the command line, runs one command, prints its failure, ends with its exit code.
//! What commands do stands in the modules below; nothing is decided here.

mod ask;
mod assemble;
mod banner;
mod bench;
mod bot;
mod certificate;
mod cli;
mod clock;
mod config;
mod door;
mod failure;
mod folder;
mod health;
mod identity;
mod jobs;
mod keys;
mod long;
mod mode;
mod operator;
mod output;
mod process;
mod retire;
mod ring_keeper;
mod role;
mod seed;
mod serve;
mod shutdown;
mod telemetry;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command, ConfigCommand};
use config::{Config, Inputs, Layers};
use failure::{Attempt as _, Failure, Outcome};
use output::Format;

fn main() -> ExitCode {
    // clap prints what is wrong with the command line itself, and ends with 2.
    let cli = Cli::parse();
    let format = Format::of(cli.common.json);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(format, &failure);
            ExitCode::from(failure.exit().code())
        }
    }
}

fn run(cli: Cli) -> Outcome<()> {
    let inputs = inputs(&cli)?;
    let format = Format::of(cli.common.json);
    if let Some(Command::Config(what)) = &cli.command {
        return show_config(what, &inputs, format);
    }
    if let Some(Command::Bench(bench)) = &cli.command {
        return runtime()?.block_on(bench::run(bench, format));
    }
    if let Some(Command::Verify(verify)) = &cli.command
        && let Some(path) = &verify.export
    {
        return ask::audit::verify(verify, path, format);
    }
    let config = Config::load(&inputs)?;
    match cli.command {
        None | Some(Command::Serve(_)) => {
            telemetry::start(config.log.format, &config.log.filter)?;
            runtime()?.block_on(serve::serve(&config))
        }
        Some(command) => {
            // A command's own log would stand between its answer and its reader; what fails is said as an error.
            telemetry::start(config.log.format, "warn")?;
            runtime()?.block_on(ask::ask(&config, command, format))
        }
    }
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .attempt(|| "no runtime could be started".to_owned())
}

/// What the configuration is read from: file, environment and the flags that set keys.
fn inputs(cli: &Cli) -> Outcome<Inputs> {
    let serve = match &cli.command {
        None => cli.serve.clone(),
        Some(_) if cli.serve != cli::Serve::default() => {
            return Err(Failure::usage(
                "--demo, --listen, --role, --trusted-proxy, --tls-cert and --tls-key belong to `serve`, and stand after it",
            )
            .help("For example `dca-auth serve --listen 127.0.0.1:9000`."));
        }
        Some(Command::Serve(serve)) => serve.clone(),
        Some(_) => cli::Serve::default(),
    };
    let mut flags = Vec::new();
    let mut flag = |key, text: Option<String>, name| flags.extend(text.map(|text| (key, text, name)));
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    flag("data_dir", path(&cli.common.data_dir), "--data-dir");
    flag("mode", cli.common.mode.map(|mode| mode.to_string()), "--mode");
    flag("mode", serve.demo.then(|| "demo".to_owned()), "--demo");
    flag("listen", serve.listen.map(|address| address.to_string()), "--listen");
    flag("role", Some(serve.role.join(",")).filter(|roles| !roles.is_empty()), "--role");
    let proxies = serve.trusted_proxy.join(",");
    flag("http.trusted_proxies", Some(proxies).filter(|list| !list.is_empty()), "--trusted-proxy");
    flag("http.tls_cert", path(&serve.tls_cert), "--tls-cert");
    flag("http.tls_key", path(&serve.tls_key), "--tls-key");
    // A variable whose name or value is not text cannot be one of ours.
    let env = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    Ok(Inputs { file: cli.common.config.clone(), env: env.collect(), flags })
}

fn show_config(what: &ConfigCommand, inputs: &Inputs, format: Format) -> Outcome<()> {
    let layers = Layers::collect(inputs)?;
    match what {
        ConfigCommand::Print => {
            output::answer(format, &config::print_json(&layers), |_| config::print_text(&layers));
            Ok(())
        }
        ConfigCommand::Check => match Config::read(&layers) {
            Ok(_) => {
                output::answer(format, &serde_json::json!({ "problems": [] }), |_| {
                    "the configuration is right".to_owned()
                });
                Ok(())
            }
            Err(problems) => Err(config::refusal(&problems)),
        },
    }
}
