<?php
// apcu.php - APCu in php-cli, obeying the lines of bench/common/worker.c (of which: can, load, use, get, each, memory).
// Started with apc.enable_cli=1 and room enough (bench/sides). The keys of a batch are made before the clock starts.

const QUANTILES = [0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100];
const RECORD = 32, KEY = 24;

$files = [];
$sequence = '';
$bytes = 0;

function fail(string $what): never
{
        fprintf(STDERR, "bench: apcu: %s\n", $what);
        exit(1);
}

function batch(string $sequence, int $from, int $n): array
{
        $count = intdiv(strlen($sequence), RECORD);
        $keys = [];
        for ($i = 0; $i < $n; $i++)
                $keys[] = substr($sequence, (($from + $i) % $count) * RECORD, KEY);
        return $keys;
}

function load(string $set, int $first, int $n, int $bytes): int
{
        $value = str_repeat('v', $bytes);
        $set = substr($set, 0, 9);
        $width = KEY - 1 - strlen($set);
        $start = hrtime(true);
        for ($i = $first; $i < $first + $n; $i++)
                if (!apcu_store(sprintf("%s:%0{$width}d", $set, $i), $value))
                        fail('no room to store');
        return hrtime(true) - $start;
}

function get(array $keys, int $bytes): int
{
        $start = hrtime(true);
        foreach ($keys as $key)
                if (strlen(apcu_fetch($key)) !== $bytes)
                        fail("$key: not a value of that length");
        return hrtime(true) - $start;
}

function each(array $keys, int $bytes): string
{
        $own = $took = [];
        foreach ($keys as $key) {
                $start = hrtime(true);
                $own[] = hrtime(true) - $start;
        }
        sort($own);
        foreach ($keys as $key) {
                $start = hrtime(true);
                $value = apcu_fetch($key);
                $took[] = hrtime(true) - $start;
                if (strlen($value) !== $bytes)
                        fail("$key: not a value of that length");
        }
        sort($took);
        $median = $own[intdiv(count($own), 2)];
        $at = fn($q) => max(0, $took[(int)((count($took) - 1) * $q / 100)] - $median);
        return implode(' ', array_map($at, QUANTILES));
}

function memory(): string
{
        $info = apcu_sma_info(true);
        $cache = apcu_cache_info(true);
        return ($info['num_seg'] * $info['seg_size'] - $info['avail_mem']) . ' ' . $cache['num_entries'];
}

if (!function_exists('apcu_enabled') || !apcu_enabled())
        fail('not enabled');
while (($line = fgets(STDIN)) !== false) {
        $word = explode(' ', trim($line));
        switch ($word[0]) {
        case 'can': $answer = 'memory'; break;
        case 'load': $answer = load($word[1], (int)$word[2], (int)$word[3], (int)$word[4]); break;
        case 'use':
                $sequence = $files[$word[1]] ??= file_get_contents($word[1]);
                $bytes = (int)$word[2];
                $answer = intdiv(strlen($sequence), RECORD);
                break;
        case 'get': $answer = get(batch($sequence, (int)$word[1], (int)$word[2]), $bytes); break;
        case 'each': $answer = each(batch($sequence, (int)$word[1], (int)$word[2]), $bytes); break;
        case 'memory': $answer = memory(); break;
        default: fail("what is $line");
        }
        echo $answer, "\n";
        flush();
}
