/* Reads 32-bit words from standard input and puts them through a battery of TestU01 (L'Ecuyer and Simard 2007).

       cc -O2 scripts/testu01.c -ltestu01 -ltestu01probdist -ltestu01mylib -lm -o testu01
       python scripts/stream_words.py long | ./testu01 SmallCrush

   Every statistic is printed as it comes, the summary at the end. docs/statistics.md says where to get TestU01. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <testu01/bbattery.h>
#include <testu01/swrite.h>
#include <testu01/unif01.h>

static const struct {
    const char *name;
    void (*run)(unif01_Gen *);
} batteries[] = {
    {"SmallCrush", bbattery_SmallCrush},
    {"Crush", bbattery_Crush},
    {"BigCrush", bbattery_BigCrush},
};

static unsigned long long words_read = 0;

static unsigned int next_word(void)
{
    static unsigned int buffer[1 << 16];
    static size_t used = 0, available = 0;
    if (used == available) {
        available = fread(buffer, sizeof buffer[0], sizeof buffer / sizeof buffer[0], stdin);
        used = 0;
        if (available == 0) {
            fprintf(stderr, "testu01: the input ended after %llu words, before the battery did.\n", words_read);
            exit(1);
        }
    }
    words_read++;
    return buffer[used++];
}

int main(int argc, char **argv)
{
    char name[] = "words from standard input";
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    for (size_t i = 0; argc == 2 && i < sizeof batteries / sizeof batteries[0]; i++) {
        if (strcmp(argv[1], batteries[i].name) == 0) {
            unif01_Gen *words = unif01_CreateExternGenBits(name, next_word);
            swrite_Basic = TRUE;
            batteries[i].run(words);
            unif01_DeleteExternGenBits(words);
            printf("%llu words read\n", words_read);
            return 0;
        }
    }
    fprintf(stderr, "usage: ... | testu01 SmallCrush|Crush|BigCrush\n");
    return 2;
}
