#!/usr/bin/env bash
# A sweep on whole Slurm nodes: sbatch [--nodes=N] cluster/slurm.sh EXPERIMENT [RESULTS]
# Warned two minutes before the time limit, it stops the sweep, whose trials save their checkpoints, and queues itself again.
#SBATCH --job-name=agsgtl
#SBATCH --nodes=2
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=agsgtl-%j.log
set -euo pipefail

experiment=${1:?usage: sbatch cluster/slurm.sh EXPERIMENT [RESULTS]}
results=${2:-results} # on storage that all nodes share
cd "${SLURM_SUBMIT_DIR:?run this with sbatch}"
bin=$PWD/.venv/bin    # one environment on the shared storage

export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.agsgtl/ray_token}
export RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
if [[ ! -s $RAY_AUTH_TOKEN_PATH ]]; then
  echo "no token in $RAY_AUTH_TOKEN_PATH; make one: (umask 077; mkdir -p ~/.agsgtl; openssl rand -hex 32 > $RAY_AUTH_TOKEN_PATH)" >&2
  exit 1
fi

# Explicit ports, so that a firewall between nodes can be told; two jobs never share a node here (--exclusive).
port=$((20000 + SLURM_JOB_ID % 1000))
ports=(--node-manager-port=21001 --object-manager-port=21002 --runtime-env-agent-port=21003 --min-worker-port=22000 --max-worker-port=22999)

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
cpus=${SLURM_CPUS_ON_NODE:?}
gpus=${SLURM_GPUS_ON_NODE:-0}

# One CPU of the head node is the driver's.
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" "$bin/ray" start --block --head --node-ip-address="$head_ip" --port="$port" \
  --include-dashboard=false --num-cpus=$((cpus - 1)) --num-gpus="$gpus" "${ports[@]}" &
started=($!)
until "$bin/ray" health-check --address "$head_ip:$port" >/dev/null 2>&1; do
  kill -0 "${started[0]}" || { echo "the head node did not start" >&2; exit 1; }
  sleep 2
done
for node in "${nodes[@]:1}"; do
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" "$bin/ray" start --block --address="$head_ip:$port" \
    --num-cpus="$cpus" --num-gpus="$gpus" "${ports[@]}" &
  started+=($!)
done
until (($("$bin/ray" status --address "$head_ip:$port" 2>/dev/null | grep -c '^ *1 node_') >= ${#nodes[@]})); do
  for step in "${started[@]}"; do kill -0 "$step" || { echo "a node did not start" >&2; exit 1; }; done
  sleep 2
done

"$bin/agsgtl" sweep "$experiment" --results "$results" --address "$head_ip:$port" &
driver=$!
warned=0
trap 'warned=1; kill -USR1 "$driver"' USR1 TERM
code=0
wait "$driver" || code=$?
while kill -0 "$driver" 2>/dev/null; do # the first wait returns when the warning comes
  code=0
  wait "$driver" || code=$?
done

kill "${started[@]}" 2>/dev/null || true # our own steps only, never `ray stop`
wait "${started[@]}" 2>/dev/null || true
if ((warned && code == 130)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
