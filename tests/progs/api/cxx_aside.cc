// cxx_aside.cc - an example: the C interface in C++, where a value is computed once by all processes of the host.
//
//   cxx_aside SERVER KEY
#include <mtshim.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace
{

struct Close {
        void operator()(mtshim *m) const
        {
                mtshim_close(&m);
        }
};
struct Free {
        void operator()(char *data) const
        {
                mtshim_free(data);
        }
};

extern "C" enum mtshim_status square(void *arg, struct mtshim_bytes key, struct mtshim_value *value)
{
        const int         number = std::atoi(std::string(key.data, key.len).c_str());
        const std::string text = std::to_string(number * number);

        ++*static_cast<int *>(arg);
        value->data = static_cast<char *>(std::malloc(text.size()));
        if (value->data == nullptr)
                return MTSHIM_ERROR;
        std::memcpy(value->data, text.data(), text.size());
        value->len = text.size();
        return MTSHIM_OK;
}

} // namespace

int main(int argc, char **argv)
{
        mtshim_config config = mtshim_defaults(argc > 2 ? argv[1] : nullptr);
        mtshim       *opened = nullptr;
        int           computed = 0;

        if (mtshim_open(&config, &opened) != MTSHIM_OK) {
                std::fprintf(stderr, "cxx_aside: %s\n", mtshim_error());
                return 1;
        }
        const std::unique_ptr<mtshim, Close> m(opened);
        for (int i = 0; i < 2; i++) {
                mtshim_value value;

                if (mtshim_get_or_compute(m.get(), mtshim_text(argv[2]), mtshim_strategy_ttl_ms(MTSHIM_LONG, 0), 1000,
                                          square, &computed, &value) != MTSHIM_OK) {
                        std::fprintf(stderr, "cxx_aside: %s\n", mtshim_error());
                        return 1;
                }
                const std::unique_ptr<char, Free> data(value.data);
                std::printf("%s\n", data.get());
        }
        std::printf("computed %d\n", computed);
}
