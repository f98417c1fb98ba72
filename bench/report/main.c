/* main.c - from the results to the page and the data of its plots.
 *
 *      report RESULTS.json PAGE.md FOLDER */
#include "report.h"

#include <errno.h>
#include <string.h>

int main(int argc, char **argv)
{
        json_error_t error;
        json_t      *root;
        FILE        *page;

        if (argc != 4) {
                fprintf(stderr, "usage: report RESULTS.json PAGE.md FOLDER\n");
                return 2;
        }
        root = json_load_file(argv[1], 0, &error);
        if (root == NULL) {
                fprintf(stderr, "report: %s:%d: %s\n", argv[1], error.line, error.text);
                return 1;
        }
        page = fopen(argv[2], "we");
        if (page == NULL) {
                fprintf(stderr, "report: %s: %s\n", argv[2], strerror(errno));
                return 1;
        }
        tables_write(root, page);
        plots_write(root, argv[3]);
        json_decref(root);
        return fclose(page) == 0 ? 0 : 1;
}
