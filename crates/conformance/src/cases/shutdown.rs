//! shutdownServer, of v1.1. Only where it was allowed: the server goes, and something has to start it again.

use opof_api::v1_1::ShutdownRequest;
use tonic::Code;

use super::table;
use crate::bench::Bench;
use crate::bench::said;
use crate::case::{Check, Stop, same};
use crate::limits;

table! {
    Required Shutdown "shutdown-is-answered" MAY_SHUT_DOWN is_answered
        "shutdownServer answers errorStatus 0, or PERMISSION_DENIED where it is not permitted";
    Advisory Shutdown "shutdown-and-back" MAY_SHUT_DOWN and_back
        "Behind a shutdown the supervisor starts the server again";
}

const SECONDS: i32 = 2;

/// Asks for a shutdown; false when it is not permitted.
async fn shut_down(bench: &Bench) -> Result<bool, Stop> {
    let mut rpc = bench.rpc();
    let call = rpc.shutdown_server(ShutdownRequest { deadline: SECONDS });
    match bench.within("shutdownServer", call).await? {
        Ok(answer) => same("errorStatus", &answer.get_ref().error_status, &0).map(|()| true),
        Err(status) if status.code() == Code::PermissionDenied => Ok(false),
        Err(status) => Err(Stop::failed("errorStatus 0 or PERMISSION_DENIED", said(&status))),
    }
}

/// Waits until the server answers, while connections may fail.
async fn is_back(bench: &mut Bench) -> Result<bool, Stop> {
    let answers = async |bench: &mut Bench| match bench.try_page(1, bench.start()).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(_)) | Err(_) => Ok(false),
    };
    bench.until(limits::RESTART, answers).await
}

async fn is_answered(bench: &mut Bench) -> Check {
    let permitted = shut_down(bench).await?;
    if permitted {
        // The next case needs it; whether it comes is that case's business.
        tokio::time::sleep(std::time::Duration::from_secs(SECONDS.unsigned_abs().into())).await;
        is_back(bench).await?;
    }
    Ok(())
}

async fn and_back(bench: &mut Bench) -> Check {
    if !shut_down(bench).await? {
        return Err(Stop::not_applicable("shutdown is not permitted (PERMISSION_DENIED)"));
    }
    tokio::time::sleep(std::time::Duration::from_secs(SECONDS.unsigned_abs().into())).await;
    let back = is_back(bench).await?;
    same(&format!("the server answers within {} s of its end", limits::RESTART.as_secs()), &back, &true)
}
