//! Asks a device which dialects it speaks, and lists its sessions in each.
//!
//! `cargo run -p opof-client --example every_dialect -- http://localhost:3443 spec`

use opof_client::{Client, ClientConfig, Dialect, Error, Profile};
use tokio_stream::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let uri = args.next().unwrap_or_else(|| "http://localhost:3443".to_owned());
    let name = args.next().unwrap_or_else(|| "spec".to_owned());
    let profile = Profile::from_name(&name).ok_or("the profiles are spec, c-client and bluefield")?;

    for dialect in Dialect::ALL {
        let config = ClientConfig::new(&uri).dialect(dialect).profile(profile);
        let client = Client::connect(config).await?;
        match count(&client).await {
            Ok(sessions) => println!("{dialect}: {sessions} sessions"),
            Err(Error::Unimplemented { .. }) => println!("{dialect}: not spoken"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn count(client: &Client) -> Result<u64, Error> {
    let mut sessions = client.list().into_stream();
    let mut count = 0;
    while let Some(session) = sessions.next().await {
        session?;
        count += 1;
    }
    Ok(count)
}
