// Exceptions, the library, and what C++20 has.
#include <map>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

template <typename T>
concept Number = requires(T a) { a + a; };

static auto total(const std::vector<int> &all)
{
    return std::accumulate(all.begin(), all.end(), 0);
}

int main()
{
    std::map<std::string, std::vector<int>> all{{"one", {1, 2, 3}}, {"two", {4}}};
    static_assert(Number<int>);
    try {
        all.at("three");
        return 1;
    } catch (const std::out_of_range &) {
    }
    int caught = 0;
    std::thread thread([&] {
        try {
            throw std::runtime_error("in a thread");
        } catch (const std::exception &error) {
            caught = std::string(error.what()).size();
        }
    });
    thread.join();
    auto even = [](int n) { return n % 2 == 0; };
    int count = 0;
    for (int n : all["one"] | std::views::filter(even)) {
        count += n;
    }
    return caught == 11 && count == 2 && total(all["one"]) == 6 ? 0 : 2;
}
