//! S2:start-before-its-predecessor-is-finished, seed 26. Written by `procession replay --emit-test`.

#[test]
fn s2_start_before_its_predecessor_is_finished_seed_26() {
    procession_sim::must_hold(REPORT);
}

const REPORT: &str = r#"procession-failure 1
core 0.1.0
origin sim
mutant 5
verdict S2 start-before-its-predecessor-is-finished
detail key=Some(0) msg=1 partition=0 position=3 epoch=1 at=34000000: msg=0 at position=2 is not
shrunk from 45 faults, 12 messages to 1 faults, 2 messages in 88 runs
seed 26
[config]
order = key
keyless = unordered
partitions = 1
limit-messages = 2
limit-bytes = 4000
limit-partition-messages = 2
limit-partition-bytes = 4000
low-water-percent = 100
message-bytes-max = 256
window = 64
window-pool = 64
retry-attempts = 2
retry-first = 1000000
retry-max = 1000000
retry-jitter = 0
handler-timeout = 23000000
cancel-grace = 10000000
commit-every = 1000000
commit-messages = 1
commit-first = 1000000
commit-max = 1000000
commit-jitter = 0
map-bytes = 0
dedupe-ids = 0
dedupe-age = 600000000000
letter-first = 1000000
letter-max = 1000000
letter-jitter = 0
session-first = 1000000
session-max = 1000000
session-jitter = 0
jitter-seed = 12391713422316737008
[world]
profile = swarm
model = kafka
members = 1
messages = 2
keys = 4
lanes = 0
heal-at = 30000000
patience = 10000000000
ticks = 0
quantum = 1000000
lease = 600000000
concurrency = 4294967295
batch = 1
beat = 2000000000
crash-at = -
shake-at = -
audit = no
latency = 1000000
[workload]
publish at=0 number=8 identity=8 partition=0 key=0 lane=1 bytes=1 malformed=no poison=no hole=0 trail=0
publish at=0 number=10 identity=10 partition=0 key=0 lane=1 bytes=1 malformed=no poison=no hole=0 trail=0
[faults]
handler-hang 8 1
[inputs]
1000000 m0 start
6000000 m0 open partition=0 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=2 log-end=4 until=-
6000000 m0 poll cssdlkwnrfxcsdlkwnrfxt
7000000 m0 session partition=0 epoch=1 session=1 found=continues from=-
7000000 m0 poll csdlkwnrfxtc
8000000 m0 poll sdlkwnrfxtc
9000000 m0 poll sdlkwnrfxt
9000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=2 stamp=1 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=f96a8578e0a9a74f137d044a523c2658 bytes=1 quarantine=- message=0
9000000 m0 poll csddlkwnrfxcsdlkwnrfxt
10000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=3 stamp=2 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=860a9f4d3586c43732447fe62831cc09 bytes=1 quarantine=- message=1
10000000 m0 poll csdlkwnrfxt
32000000 m0 timeout
32000000 m0 poll csdlkwnrfxttcsdlkwnrfxt
33000000 m0 timeout
33000000 m0 poll ccsdlkwnrfxcsdlkwnrfxttcsdlkwnrfxt
33000000 m0 timeout
33000000 m0 poll csdlkwnrfxttcsdlkwnrfxt
34000000 m0 settle token=4294967296 outcome=cancelled message=0
34000000 m0 poll csd
[outputs]
582f7433 aa62ab29 e7bd39d5 2f800b65 847e9aba 52da7bf9 1f64f891 d986e665
389ebe20 be1b45a6 79974ac3 6afcbbd8 510510bb e2150bca 220b17e8 c99f0f38
3c1d7101 f10dbef0 d72ed93d
[digest]
747f90ae58f51f8b
"#;
