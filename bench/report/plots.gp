# plots.gp - the plots of RESULTS.md: gnuplot -e "data='FOLDER'; out='FOLDER'" bench/report/plots.gp
# The columns are written by plots.c. Each plot comes as SVG for the page and as PNG.
set datafile separator tab
set datafile missing "-"
set key outside right top noenhanced
set grid
set linetype 1 lc rgb "#c0392b" lw 3
set linetype 2 lc rgb "#e67e22" lw 2
set linetype 3 lc rgb "#d4ac0d" lw 2
set linetype 4 lc rgb "#1f618d" lw 2
set linetype 5 lc rgb "#3498db" lw 2
set linetype 6 lc rgb "#85c1e9" lw 2
set linetype 7 lc rgb "#1e8449" lw 2
set linetype 8 lc rgb "#58d68d" lw 2
set linetype 9 lc rgb "#6c3483" lw 2
set linetype 10 lc rgb "#bb8fce" lw 2
set linetype 11 lc rgb "#7f8c8d" lw 2
set linetype 12 lc rgb "#000000" lw 2 dt 2

curves(file) = int(system(sprintf("grep -c '^\"' '%s/%s'", data, file)))
is_there(file) = int(system(sprintf("[ -s '%s/%s' ] && echo 1 || echo 0", data, file)))

do for [kind in "svg png"] {
        if (kind eq "svg") { set terminal svg size 900,480 font "sans,12" } else { set terminal png size 900,480 }

        set output sprintf("%s/latency.%s", out, kind)
        set title "A GET of 100 B, hot keys: share of calls that are done"
        set logscale x
        set xlabel "nanoseconds"
        set ylabel "percent of calls"
        set yrange [0:100]
        set format x "%.0s %c"
        n = curves("latency.tsv")
        plot for [i=0:n-1] data."/latency.tsv" index i using 1:2 with lines title columnheader(1)

        set output sprintf("%s/value-size.%s", out, kind)
        set title "GETs a second over the size of values, hot keys, one thread"
        set logscale y
        set xlabel "size of a value"
        set ylabel "GETs a second"
        set yrange [*:*]
        set xtics ("16 B" 16, "100 B" 100, "1 KiB" 1024, "16 KiB" 16384, "256 KiB" 262144)
        set format y "%.0s %c"
        n = curves("value-size.tsv")
        plot for [i=0:n-1] data."/value-size.tsv" index i using 1:2 with linespoints title columnheader(1)
        unset logscale x

        set output sprintf("%s/scaling.%s", out, kind)
        set multiplot layout 1,3 title "Operations a second: 1 process (red), 2 processes (orange), 2 threads (yellow)"
        set style data histogram
        set style histogram clustered gap 1
        set style fill solid 0.8
        unset key
        set xtics autofreq rotate by -60 noenhanced
        set yrange [1e4:1e8]
        set format x "%g"
        set format y "%.0s %c"
        unset xlabel
        set ylabel "operations a second"
        do for [panel in "hot zipf writes"] {
                set title panel eq "hot" ? "hot keys, reads" : panel eq "zipf" ? "Zipf, reads" : "Zipf, 5% writes"
                file = sprintf("%s/scaling-%s.tsv", data, panel)
                plot for [column=2:4] file using (column(column) * 1e6):xtic(1) lw 1 title columnheader(column)
                unset ylabel
        }
        unset multiplot
        unset logscale y
        set yrange [*:*]
        set xtics norotate
        set key outside right top noenhanced

        if (is_there("hit-ratio.tsv")) {
                set output sprintf("%s/hit-ratio.%s", out, kind)
                set title "Hit ratio over the size of the cache, mean of all traces"
                set logscale x
                set xlabel "size of the cache, percent of the objects"
                set ylabel "percent of requests"
                set format x "%g"
                set format y "%g"
                n = curves("hit-ratio.tsv")
                plot for [i=0:n-1] data."/hit-ratio.tsv" index i using 1:2 with linespoints title columnheader(1)
                unset logscale x
        }
        set output
}
